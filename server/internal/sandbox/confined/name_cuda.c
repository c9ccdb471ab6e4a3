#ifdef BL_CUDA
// The driver of a GPU names its threads, and takes a name that cannot be given for a failure of its start (error 304, of drivers
// since 570: see issue 924 of nono, issue 1486 of OpenShell). The C library gives it by writing to /proc/self/task/TID/comm, with
// TID as it is counted in the process's own namespace, which the host's /proc does not show, and Landlock denies that file besides.
// The name serves nobody: instead of a right to write below /proc, the driver's libraries get this function, which they find before
// the C library's.
#include <pthread.h>

__attribute__((visibility("default"))) int pthread_setname_np(pthread_t thread, const char* name) {
  (void)thread;
  (void)name;
  return 0;
}
#endif
