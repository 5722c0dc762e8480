#include <conio.h>
