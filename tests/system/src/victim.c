// What happens to a process, for the tests of kernel events: it is asked by name and says when it began
// to, in nanoseconds since boot.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned long long since_boot(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

// On a page of its own, which nothing runs from while it is written.
__attribute__((section(".victim"), aligned(4096), noinline, used)) void code(void)
{
	for (volatile int i = 0; i < 3; i++)
		__asm__ volatile(".fill 64, 1, 0x90");
}

static unsigned char code_octet(void)
{
	return ((unsigned char *)code)[40];
}

static void told(const char *what, int pid, unsigned long long at)
{
	printf("did %s %d %llu\n", what, pid, at);
	fflush(stdout);
}

// A process that others do something to; it ends with us.
static int sleeper(void)
{
	int child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sleep(6);
		_exit(0);
	}
	return child;
}

// Writes into its own code: first writable, then executable again.
static int patch(void)
{
	unsigned char *page = (unsigned char *)((unsigned long)code & ~4095ul);
	if (mprotect(page, 4096, PROT_READ | PROT_WRITE))
		return 1;
	unsigned long long at = since_boot();
	page[40] ^= 0x11;
	told("patch", getpid(), at);
	if (mprotect(page, 4096, PROT_READ | PROT_EXEC))
		return 1;
	sleep(4);
	return 0;
}

// Memory that can be written and executed at the same time.
static int both(void)
{
	unsigned long long at = since_boot();
	if (mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return 1;
	told("both", getpid(), at);
	sleep(4);
	return 0;
}

// Writes into the code of another process as a debugger does.
static int inject(void)
{
	int child = sleeper();
	long at = (long)code & ~7l;
	if (ptrace(PTRACE_ATTACH, child, 0, 0) || waitpid(child, 0, 0) < 0)
		return 1;
	long word = ptrace(PTRACE_PEEKTEXT, child, at + 40, 0);
	unsigned long long then = since_boot();
	if (ptrace(PTRACE_POKETEXT, child, at + 40, word ^ 0x11))
		return 1;
	told("inject", child, then);
	ptrace(PTRACE_DETACH, child, 0, 0);
	sleep(4);
	return 0;
}

// Writes into its own code by way of /proc, which asks nobody's leave but the file's.
static int own(void)
{
	int memory = open("/proc/self/mem", O_RDWR);
	unsigned char octet = code_octet() ^ 0x11;
	unsigned long long at = since_boot();
	if (memory < 0 || pwrite(memory, &octet, 1, (long)code + 40) != 1)
		return 1;
	told("own", getpid(), at);
	sleep(4);
	return 0;
}

// Writes into the code of another process by way of /proc.
static int other(void)
{
	int child = sleeper();
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	int memory = open(path, O_RDWR);
	unsigned char octet = code_octet() ^ 0x11;
	unsigned long long at = since_boot();
	if (memory < 0 || pwrite(memory, &octet, 1, (long)code + 40) != 1)
		return 1;
	told("other", child, at);
	sleep(4);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 0;
	const char *what = argv[1];
	code();
	if (!strcmp(what, "patch"))
		return patch();
	if (!strcmp(what, "both"))
		return both();
	if (!strcmp(what, "inject"))
		return inject();
	if (!strcmp(what, "own"))
		return own();
	if (!strcmp(what, "other"))
		return other();
	return 2;
}
