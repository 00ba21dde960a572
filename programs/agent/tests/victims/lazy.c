/* Binds functions of the C library only when it is told to: built with -z lazy. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void tell(int number)
{
    told = number;
}

int main(void)
{
    char copy[64];
    signal(SIGUSR1, tell);
    puts("ready");
    fflush(stdout);
    while (!told)
        usleep(1000);
    snprintf(copy, sizeof copy, "%ld %d", labs(strtol("-7", NULL, 10)), getppid() > 0);
    puts(strchr(copy, '7') && getpagesize() > 0 ? "bound" : "other");
    fflush(stdout);
    for (;;)
        pause();
}
