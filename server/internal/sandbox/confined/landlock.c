// Landlock: no file, no TCP, no signal and no abstract socket outside of the process, as far as the running kernel knows how to
// deny them. The numbers stand here and not in the C library's headers, which are often older than the kernel.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum {
  kCreateRulesetVersion = 1,
  kRulePathBeneath = 1,
};

// Every right that a version of the interface can deny.
#define FILES_V1 ((1ULL << 13) - 1)  // execute, write, read, and making or removing anything
#define FILES_V2 (1ULL << 13)        // rename or link across directories
#define FILES_V3 (1ULL << 14)        // truncate
#define FILES_V5 BL_IOCTL_DEVICE     // ioctl on devices
#define TCP_V4 (3ULL)                // bind, connect
#define SCOPES_V6 (3ULL)             // abstract unix sockets, signals

struct ruleset {
  uint64_t files, tcp, scopes;
};

struct path_beneath {
  uint64_t allowed;
  int32_t parent;
} __attribute__((packed));

// What libtorch, its thread pools and the Go runtime read while they start. Nothing of it is about data or about other processes.
static const struct {
  const char* path;
  uint64_t allowed;
} kReadable[] = {
    {"/proc/cpuinfo", BL_READ_FILE},
    {"/proc/meminfo", BL_READ_FILE},
    {"/proc/self", BL_READ_FILE | BL_READ_DIRECTORY},
    {"/sys/devices/system/cpu", BL_READ_FILE | BL_READ_DIRECTORY},
    {"/sys/devices/system/node", BL_READ_FILE | BL_READ_DIRECTORY},
    {"/sys/kernel/mm/transparent_hugepage", BL_READ_FILE | BL_READ_DIRECTORY},
    {"/dev/urandom", BL_READ_FILE},
};

int bl_allow_path(int ruleset, const char* path, uint64_t allowed) {
  int parent = open(path, O_PATH | O_CLOEXEC);
  if (parent < 0) return 0;  // what is not there need not be readable
  const struct path_beneath rule = {allowed, parent};
  int result = (int)syscall(SYS_landlock_add_rule, ruleset, kRulePathBeneath, &rule, 0);
  close(parent);
  return result;
}

void bl_confine_files(bl_confinement* result) {
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, kCreateRulesetVersion);
  if (abi < 1) {
    result->landlock_errno = errno;
    return;
  }
  result->landlock_abi = (int)abi;
  struct ruleset all = {FILES_V1, 0, 0};
  if (abi >= 2) all.files |= FILES_V2;
  if (abi >= 3) all.files |= FILES_V3;
  if (abi >= 4) all.tcp = TCP_V4;
  if (abi >= 5) all.files |= FILES_V5;
  if (abi >= 6) all.scopes = SCOPES_V6;
  // A kernel refuses a larger structure only if the part it does not know is not zero.
  int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
  if (ruleset < 0) {
    result->landlock_errno = errno;
    return;
  }
  int failed = 0;
  for (unsigned i = 0; i < sizeof kReadable / sizeof kReadable[0]; i++)
    failed |= bl_allow_path(ruleset, kReadable[i].path, kReadable[i].allowed);
#ifdef BL_CUDA
  failed |= bl_allow_gpu(ruleset, (int)abi);
#endif
  // A rule that could not be added denies more, not less: restrict all the same.
  if (failed != 0) result->landlock_errno = errno;
  if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) result->landlock_errno = errno;
  close(ruleset);
}
