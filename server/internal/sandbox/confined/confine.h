// What the constructor leaves behind for Go to report.
#ifndef BASTIONLAB_CONFINE_H_
#define BASTIONLAB_CONFINE_H_

#include <stdint.h>

typedef struct bl_confinement {
  int landlock_abi;    // 0: the kernel has none
  int landlock_errno;  // why it is not in force
  int oom_first;       // 1: the kernel's first choice when memory runs out
} bl_confinement;

extern bl_confinement bl_confined;

void bl_confine_files(bl_confinement* result);

// Rights of Landlock's interface, as rules take them.
#define BL_READ_FILE (1ULL << 2)
#define BL_READ_DIRECTORY (1ULL << 3)
#define BL_WRITE_FILE (1ULL << 1)
#define BL_IOCTL_DEVICE (1ULL << 15)  // from version 5 on

// Adds a rule, unless the path is not there. Not zero: the rule could not be added, and errno says why.
int bl_allow_path(int ruleset, const char* path, uint64_t allowed);

#ifdef BL_CUDA
// Adds what the driver of a GPU opens while it starts.
int bl_allow_gpu(int ruleset, int abi);
#endif

#endif
