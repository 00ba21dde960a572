// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What the kernel tells the agent as it happens: a program that starts, code that is mapped or made
// executable, a process that takes hold of another or opens its own memory, a kernel module. It decides nothing; it wakes
// whoever looks. Fields of the kernel's structures are found by name when it is loaded (CO-RE), and
// nothing but a compiler is needed to build it:
//
//   clang -O2 -g -target bpf -c watch.bpf.c -o watch.bpf.o
//
// The kernel lends its helpers to programs under the GPL or a licence beside it; hence the first line.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define RELOCATED __attribute__((preserve_access_index))
#define INLINE static inline __attribute__((always_inline))

// Helpers by number, as <linux/bpf.h> lists them; their numbers never change.
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*const current_pid_tgid)(void) = (void *)14;
static long (*const read_text)(void *into, u32 size, const void *from) = (void *)115;
static u64 (*const since_boot)(void) = (void *)125;
static void *(*const reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const submit)(void *octets, u64 flags) = (void *)132;

// Of the kernel's structures, what is read.
struct super_block { unsigned long s_magic; } RELOCATED;
struct inode { unsigned long i_ino; struct super_block *i_sb; } RELOCATED;
struct qstr { const unsigned char *name; } RELOCATED;
struct dentry { struct dentry *d_parent; struct qstr d_name; } RELOCATED;
struct path { struct dentry *dentry; } RELOCATED;
struct file { struct path f_path; struct inode *f_inode; u32 f_mode; } RELOCATED;
struct linux_binprm { const char *filename; struct file *file; } RELOCATED;
struct vm_area_struct { struct file *vm_file; unsigned long vm_flags; } RELOCATED;
struct task_struct { int tgid; } RELOCATED;

enum {
	STARTED = 1,
	MAPPED = 2,
	PROTECTED = 3,
	TRACED = 4,
	MODULE = 5,
	OPENED = 6,
};

// Must be as `Seen` of collect/lsm.rs reads it.
struct event {
	u64 time;
	u64 inode;
	u32 kind;
	u32 pid;
	u32 other;
	u32 lost;
	char name[96];
};

struct {
	int (*type)[27]; // BPF_MAP_TYPE_RINGBUF
	int (*max_entries)[256 * 1024];
} events SECTION(".maps");

// When each process made memory without a file executable: compilers do it without end.
struct {
	int (*type)[9]; // BPF_MAP_TYPE_LRU_HASH
	int (*max_entries)[4096];
	u32 *key;
	u64 *value;
} compilers SECTION(".maps");

// Events for which the ring had no room.
struct {
	int (*type)[2]; // BPF_MAP_TYPE_ARRAY
	int (*max_entries)[1];
	u32 *key;
	u32 *value;
} lost SECTION(".maps");

#define PROT_EXEC 0x4
#define PTRACE_MODE_ATTACH 0x2
#define READING_MODULE 2
#define FOR_WRITING 0x2 // FMODE_WRITE
#define PROC_MAGIC 0x9fa0
// A process is told once as one that has a compiler in it; nothing is gained by telling it faster.
#define PAUSE 1000000000ull

INLINE struct event *begin(u32 kind)
{
	u32 zero = 0;
	u32 *missed = map_lookup(&lost, &zero);
	struct event *event = reserve(&events, sizeof(struct event), 0);
	if (!event) {
		if (missed)
			__sync_fetch_and_add(missed, 1);
		return 0;
	}
	event->time = since_boot();
	event->inode = 0;
	event->kind = kind;
	event->pid = current_pid_tgid() >> 32;
	event->other = 0;
	event->lost = missed ? *missed : 0;
	event->name[0] = 0;
	return event;
}

INLINE void about(struct event *event, struct file *file)
{
	if (!file)
		return;
	event->inode = file->f_inode->i_ino;
	read_text(event->name, sizeof(event->name), file->f_path.dentry->d_name.name);
}

// Whether a process made such memory not long ago.
INLINE int is_compiler(u32 pid)
{
	u64 now = since_boot();
	u64 *last = map_lookup(&compilers, &pid);
	if (last && now - *last < PAUSE)
		return 1;
	map_update(&compilers, &pid, &now, 0);
	return 0;
}

SECTION("lsm/bprm_check_security")
int started(u64 *context)
{
	struct linux_binprm *program = (void *)context[0];
	struct event *event = begin(STARTED);
	if (event) {
		event->inode = program->file->f_inode->i_ino;
		read_text(event->name, sizeof(event->name), program->filename);
		submit(event, 0);
	}
	return 0;
}

// Memory with that file, or without one, is to be executable.
INLINE int executable(u32 kind, struct file *file, u64 allowed)
{
	if (!(allowed & PROT_EXEC))
		return 0;
	if (!file && is_compiler(current_pid_tgid() >> 32))
		return 0;
	struct event *event = begin(kind);
	if (event) {
		event->other = allowed;
		about(event, file);
		submit(event, 0);
	}
	return 0;
}

SECTION("lsm/mmap_file")
int mapped(u64 *context)
{
	return executable(MAPPED, (void *)context[0], context[2]);
}

SECTION("lsm/file_mprotect")
int protected(u64 *context)
{
	struct vm_area_struct *area = (void *)context[0];
	return executable(PROTECTED, area->vm_file, context[2]);
}

SECTION("lsm/ptrace_access_check")
int traced(u64 *context)
{
	struct task_struct *child = (void *)context[0];
	u32 mode = context[1];
	if (!(mode & PTRACE_MODE_ATTACH))
		return 0;
	struct event *event = begin(TRACED);
	if (event) {
		event->other = child->tgid;
		submit(event, 0);
	}
	return 0;
}

// The number that a text says, 0 if it says none.
INLINE u32 number(const char *text, u32 size)
{
	u32 value = 0;
	for (u32 i = 0; i < size; i++) {
		if (!text[i])
			return value;
		if (text[i] < '0' || text[i] > '9')
			return 0;
		value = value * 10 + (text[i] - '0');
	}
	return 0;
}

// A process may write to its own code by way of /proc/PID/mem, and no hook is asked about that but
// this one.
SECTION("lsm/file_open")
int opened(u64 *context)
{
	struct file *file = (void *)context[0];
	if (!(file->f_mode & FOR_WRITING) || file->f_inode->i_sb->s_magic != PROC_MAGIC)
		return 0;
	struct dentry *entry = file->f_path.dentry;
	char name[12] = {};
	if (read_text(name, sizeof(name), entry->d_name.name) != 4 || name[0] != 'm' || name[1] != 'e' || name[2] != 'm')
		return 0;
	read_text(name, sizeof(name), entry->d_parent->d_name.name);
	struct event *event = begin(OPENED);
	if (event) {
		event->other = number(name, sizeof(name));
		submit(event, 0);
	}
	return 0;
}

SECTION("lsm/kernel_read_file")
int module_read(u64 *context)
{
	struct file *file = (void *)context[0];
	u32 what = context[1];
	if (what != READING_MODULE)
		return 0;
	struct event *event = begin(MODULE);
	if (event) {
		about(event, file);
		submit(event, 0);
	}
	return 0;
}

// A module that came out of memory: init_module(2).
SECTION("lsm/kernel_load_data")
int module_loaded(u64 *context)
{
	u32 what = context[0];
	if (what != READING_MODULE)
		return 0;
	struct event *event = begin(MODULE);
	if (event)
		submit(event, 0);
	return 0;
}

char permission[] SECTION("license") = "Dual MIT/GPL";
