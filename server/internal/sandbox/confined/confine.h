// What the constructor leaves behind for Go to report.
#ifndef BASTIONLAB_CONFINE_H_
#define BASTIONLAB_CONFINE_H_

typedef struct bl_confinement {
  int landlock_abi;    // 0: the kernel has none
  int landlock_errno;  // why it is not in force
  int oom_first;       // 1: the kernel's first choice when memory runs out
} bl_confinement;

extern bl_confinement bl_confined;

void bl_confine_files(bl_confinement* result);

#endif
