/* Maps the file that it is given executable, says so, and waits. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct stat found;
    int file = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    if (file < 0 || fstat(file, &found) != 0)
        return 1;
    volatile const char *code = mmap(0, found.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    if (code == MAP_FAILED)
        return 1;
    (void)code[0];
    puts("mapped");
    fflush(stdout);
    for (;;)
        pause();
}
