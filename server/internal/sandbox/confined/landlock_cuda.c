#ifdef BL_CUDA
// What the driver of a GPU opens while it starts, in libcuda and the libraries above it. When the system calls are closed nothing
// of it can be opened any more, by seccomp: these rules are about the time before, in which nothing of a stranger was read.
//
// The driver is closed, and its files are documented by those who confined it before: the design of gVisor's nvproxy (device files,
// /proc/driver/nvidia/params), nvc_internal.h of NVIDIA's libnvidia-container (capabilities of a divided GPU), and what `nono
// --allow-gpu` grants (procfs). The rest is read by what NVIDIA publishes as nvidia-modprobe (/proc/devices, /proc/modules), and
// about the GPU's place in the machine. What is missing here shows when the server starts: then the GPU does not.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confine.h"

#define DIRECTORY (BL_READ_FILE | BL_READ_DIRECTORY)

static const struct {
  const char* path;
  uint64_t allowed;
} kReadable[] = {
    {"/proc/driver/nvidia", DIRECTORY},
    {"/proc/driver/nvidia-uvm", DIRECTORY},
    {"/proc/driver/nvidia-caps", DIRECTORY},
    {"/proc/devices", BL_READ_FILE},
    {"/proc/modules", BL_READ_FILE},
    {"/proc/sys/vm/mmap_min_addr", BL_READ_FILE},
    {"/sys/bus/pci", DIRECTORY},
    // Where a driver's libraries are installed; which of them it opens depends on its release.
    {"/etc/ld.so.cache", BL_READ_FILE},
    {"/usr/lib", DIRECTORY},
    {"/usr/lib64", DIRECTORY},
    {"/usr/local/nvidia", DIRECTORY},
};

static int is_number(const char* text) {
  if (*text == '\0') return 0;
  for (; *text != '\0'; text++)
    if (!isdigit((unsigned char)*text)) return 0;
  return 1;
}

// SECURITY: the control device, the GPUs and their shared memory, and no more of the driver: no display, no tracing of other
// processes (nvidia-modeset, nvidia-uvm-tools). Package sandbox has the list for ioctl: without nvidia-caps, whose files are opened
// and shown to the control device, and never controlled themselves.
static int is_gpu(const char* name) {
#ifdef BL_SANDBOX_TEST
  const char* stand_in = getenv("BASTIONLAB_SANDBOX_GPU");
  if (stand_in != NULL && strcmp(name, stand_in) == 0) return 1;
#endif
  if (strcmp(name, "nvidiactl") == 0 || strcmp(name, "nvidia-uvm") == 0 || strcmp(name, "nvidia-caps") == 0) return 1;
  return strncmp(name, "nvidia", 6) == 0 && is_number(name + 6);
}

static int is_bridge(const char* name) { return strncmp(name, "pci", 3) == 0; }

static int is_driver(const char* name) { return strncmp(name, "nvidia", 6) == 0; }

static int allow_entries(int ruleset, const char* directory, int (*chosen)(const char* name), uint64_t allowed) {
  DIR* entries = opendir(directory);
  if (entries == NULL) return 0;
  int failed = 0;
  for (struct dirent* entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
    char path[PATH_MAX];
    if (!chosen(entry->d_name)) continue;
    if (snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) < (int)sizeof path)
      failed |= bl_allow_path(ruleset, path, allowed);
  }
  closedir(entries);
  return failed;
}

// The directory of a library that this program was linked with: cuBLAS and others open parts of themselves later, which lie beside
// them.
static int allow_beside(struct dl_phdr_info* library, size_t size, void* argument) {
  (void)size;
  int* ruleset = argument;
  char path[PATH_MAX];
  const char* end = strrchr(library->dlpi_name, '/');
  if (end == NULL || end == library->dlpi_name || end - library->dlpi_name >= (long)sizeof path) return 0;
  memcpy(path, library->dlpi_name, (size_t)(end - library->dlpi_name));
  path[end - library->dlpi_name] = '\0';
  return bl_allow_path(*ruleset, path, DIRECTORY);
}

int bl_allow_gpu(int ruleset, int abi) {
  uint64_t device = BL_READ_FILE | BL_WRITE_FILE;
  if (abi >= 5) device |= BL_IOCTL_DEVICE;
  int failed = allow_entries(ruleset, "/dev", is_gpu, device);
  failed |= allow_entries(ruleset, "/sys/module", is_driver, DIRECTORY);
  failed |= allow_entries(ruleset, "/sys/devices", is_bridge, DIRECTORY);
  for (unsigned i = 0; i < sizeof kReadable / sizeof kReadable[0]; i++)
    failed |= bl_allow_path(ruleset, kReadable[i].path, kReadable[i].allowed);
  return failed | dl_iterate_phdr(allow_beside, &ruleset);
}
#endif
