// Runs as a constructor: after the dynamic loader, before main, so before the Go runtime and before any thread exists. That is the
// only moment at which Landlock, capabilities and limits reach every thread there will ever be: each of them is a property of a
// thread, and a thread hands it to those it creates.
//
// What fails here is not fatal, it is missing: Go looks at what is in force and tells the server, which decides.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

enum { kExitUsage = 64, kSeamDescriptor = 3, kMaxThreads = 512 };

#ifdef BL_CUDA
// A GPU's driver opens its device files again for each mapping of them, and those of every GPU of the machine before it looks which
// one is meant. More of them do not fit into a system call filter.
enum { kMaxDescriptors = 960 };
#else
enum { kMaxDescriptors = 64 };
#endif

bl_confinement bl_confined;

#ifdef BL_SANDBOX_TEST
// Tests leave single layers out to see that each of them holds by itself. No release build has this.
static int left_out(const char* layer) {
  const char* without = getenv("BASTIONLAB_SANDBOX_WITHOUT");
  return without != NULL && strstr(without, layer) != NULL;
}
#else
#define left_out(layer) 0
#endif

static void refuse_to_start(const char* text) {
  (void)!write(STDERR_FILENO, text, strlen(text));
  _exit(kExitUsage);
}

static rlim_t bytes_argument(const char* text) {
  char* end = NULL;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
    refuse_to_start("bastionlab-trainer: a limit is no number of bytes\n");
  return value;
}

static void limit(int resource, rlim_t value) {
  const struct rlimit both = {value, value};
  setrlimit(resource, &both);
}

static void confine_resources(rlim_t memory_bytes, rlim_t output_bytes) {
  limit(RLIMIT_CORE, 0);  // PRIVACY: a core file would hold records
  limit(RLIMIT_FSIZE, output_bytes);
  limit(RLIMIT_NOFILE, kMaxDescriptors);
  // A GPU's driver pins the program's pages itself, and asks for no such allowance (os_lock_user_pages in NVIDIA's open kernel
  // modules).
  limit(RLIMIT_MEMLOCK, 0);
  limit(RLIMIT_MSGQUEUE, 0);
  // Private writable memory, not address space: libtorch and the Go runtime map far more than they touch. A GPU's memory, and what
  // its driver shares with the program, is not of it.
  if (memory_bytes > 0) limit(RLIMIT_DATA, memory_bytes);
  // Counted per user, so only where a namespace of its own keeps others' processes out of the count.
  if (getpid() == 1) limit(RLIMIT_NPROC, kMaxThreads);
}

static void drop_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
  memset(none, 0, sizeof none);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  syscall(SYS_capset, &header, none);
}

// Where memory runs out, the kernel should take the trainer and not the server beside it.
static void volunteer_for_the_oom_killer(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  bl_confined.oom_first = write(fd, "1000", 4) == 4;
  close(fd);
}

__attribute__((constructor)) static void confine(int argc, char** argv) {
  if (argc < 4)
    refuse_to_start(
        "bastionlab-trainer is started by the bastionlab server: ROLE MEMORY_BYTES OUTPUT_BYTES, a socket as descriptor 3\n");
  rlim_t memory_bytes = bytes_argument(argv[2]), output_bytes = bytes_argument(argv[3]);

  syscall(SYS_close_range, kSeamDescriptor + 1, UINT_MAX, 0);
  volunteer_for_the_oom_killer();
  // SECURITY: Landlock and seccomp need it where there is no privilege, and nothing gains any from here on.
  if (!left_out("no-new-privs")) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (!left_out("rlimits")) confine_resources(memory_bytes, output_bytes);
  if (!left_out("landlock")) bl_confine_files(&bl_confined);
  if (!left_out("capabilities")) drop_capabilities();
  // SECURITY: no other process of the same user may attach to this one or read its memory.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
