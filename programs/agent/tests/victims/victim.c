/* A program to be looked at: does what it is told, says "ready", and waits. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <stdlib.h>
#include <unistd.h>

static int anonymous(int protection)
{
    return mmap(0, 8192, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

/* Memory that was written to and then made executable. */
static int generated(void)
{
    char *code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return 1;
    memset(code, 0x90, 4096);
    return mprotect(code, 4096, PROT_READ | PROT_EXEC);
}

/* Code of a file without a name. */
static int memfd(void)
{
    int file = memfd_create("innocent", 0);
    char page[4096];
    memset(page, 0x90, sizeof page);
    if (file < 0 || write(file, page, sizeof page) != sizeof page)
        return 1;
    volatile char *code = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    return code == MAP_FAILED || code[0] != (char)0x90;
}

/* Changes a word of another process' code, as a debugger does. */
static int poke(pid_t process, void *address)
{
    if (ptrace(PTRACE_ATTACH, process, 0, 0) != 0 || waitpid(process, 0, 0) != process)
        return 1;
    long word = ptrace(PTRACE_PEEKTEXT, process, address, 0);
    if (ptrace(PTRACE_POKETEXT, process, address, word ^ 0x5a) != 0)
        return 1;
    return ptrace(PTRACE_DETACH, process, 0, 0) != 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int failed = 0;
    if (!strcmp(what, "writable"))
        failed = anonymous(PROT_READ | PROT_WRITE | PROT_EXEC);
    else if (!strcmp(what, "generated"))
        failed = generated();
    else if (!strcmp(what, "memfd"))
        failed = memfd();
    else if (!strcmp(what, "poke") && argc == 4)
        return poke(atoi(argv[2]), (void *)strtoul(argv[3], 0, 16));
    if (failed)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}
