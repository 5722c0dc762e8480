/* Keys from the console. */
#ifndef _INC_CONIO
#define _INC_CONIO
#pragma GCC system_header
#include <overlapped/crt.h>

OVERLAPPED_BEGIN
int _kbhit(void);
int _getch(void);
int _getche(void);
int _putch(int character);
OVERLAPPED_END
#define kbhit _kbhit
#define getch _getch
#define getche _getche
#define putch _putch
#define _cprintf printf

#endif
