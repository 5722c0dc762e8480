/* For a program whose `main` returns nothing: it is called by a real one. */
#ifndef OVERLAPPED_VOID_MAIN_H
#define OVERLAPPED_VOID_MAIN_H
#pragma GCC system_header

#ifdef __cplusplus
#define OVERLAPPED_MAIN extern "C" void overlapped_main
#else
#define OVERLAPPED_MAIN void overlapped_main
#endif
#if OVERLAPPED_MAIN_ARGUMENTS
OVERLAPPED_MAIN(int argc, char **argv);
int __attribute__((weak)) main(int argc, char **argv)
{
    overlapped_main(argc, argv);
    return 0;
}
#else
OVERLAPPED_MAIN(void);
int __attribute__((weak)) main(void)
{
    overlapped_main();
    return 0;
}
#endif
#undef OVERLAPPED_MAIN
#define main overlapped_main

#endif
