/* The ABI from C, start to end, behind a filter that denies files, sockets and programs once the engine has started: whatever
 * libtorch would open lazily fails here.  smoke MODEL OPERATORS */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bastionlab_engine.h"

static void fail(const char* what, const bl_error* err) {
  fprintf(stderr, "smoke: %s: %s %s: %s\n", what, err->op, err->layer, err->reason);
  exit(1);
}
#define MUST(call)                          \
  do {                                      \
    bl_error err;                           \
    memset(&err, 0, sizeof err);            \
    if ((call) != BL_OK) fail(#call, &err); \
  } while (0)

static void denied(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  char text[64];
  int n = snprintf(text, sizeof text, "smoke: system call %d after bl_start\n", info->si_syscall);
  if (write(2, text, (size_t)n) < 0) _exit(3);
  _exit(2);
}

#define DENY(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (name), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)

static void deny_files_sockets_and_programs(void) {
  struct sigaction action = {.sa_sigaction = denied, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_open
      DENY(SYS_open),
#endif
      DENY(SYS_openat),
      DENY(SYS_socket),
      DENY(SYS_execve),
#ifdef SYS_fork
      DENY(SYS_fork),
#endif
      DENY(SYS_ptrace),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    perror("smoke: seccomp");
    exit(1);
  }
}

static uint8_t* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(1);
  }
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  uint8_t* bytes = malloc(*size + 1);
  if (fread(bytes, 1, *size, file) != *size) exit(1);
  bytes[*size] = 0;
  fclose(file);
  return bytes;
}

/* The operators of operators.txt that are not forbidden; the names stay in `text`. */
static const char** allowed_operators(char* text, size_t* count) {
  const char** names = calloc(4096, sizeof *names);
  *count = 0;
  char* rest;
  for (char* line = strtok_r(text, "\n", &rest); line != NULL && *count < 4096; line = strtok_r(NULL, "\n", &rest)) {
    char* name = line;
    char* space = strchr(line, ' ');
    if (*line == '#' || space == NULL || strncmp(space + 1, "forbidden", 9) == 0) continue;
    *space = 0;
    names[(*count)++] = name;
  }
  return names;
}

static void random_bytes(void* context, uint8_t* out, size_t n) {
  (*(int*)context)++;
  while (n > 0) {
    ssize_t got = getrandom(out, n, 0);
    if (got < 0 && errno != EINTR) abort();
    if (got > 0) out += got, n -= (size_t)got;
  }
}

enum { kRecords = 6, kPass = 4, kImage = 3 * 8 * 8, kTokens = 5 };
struct record {
  float image[kImage];
  int64_t tokens[kTokens];
  int64_t label;
} __attribute__((packed));

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  size_t archive_bytes, table_bytes, n_allowed;
  uint8_t* archive = read_file(argv[1], &archive_bytes);
  const char** allowed = allowed_operators((char*)read_file(argv[2], &table_bytes), &n_allowed);
  if (bl_abi_version() != BL_ENGINE_ABI) return 1;
  MUST(bl_start(2, "cpu", &err));
  deny_files_sockets_and_programs();

  const int64_t image[] = {3, 8, 8}, tokens[] = {kTokens};
  const bl_tensor_spec inputs[] = {{"image", BL_F32, 3, image, offsetof(struct record, image)},
                                   {"tokens", BL_I64, 1, tokens, offsetof(struct record, tokens)}};
  const bl_schema schema = {inputs, 2, {"label", BL_I64, 0, NULL, offsetof(struct record, label)}, sizeof(struct record), 1};
  bl_intake* intake = NULL;
  MUST(bl_intake_read(archive, archive_bytes, &schema, allowed, n_allowed, &intake, &err));
  memset(archive, 0, archive_bytes); /* its bytes are not kept */
  bl_program* program = NULL;
  MUST(bl_program_build(bl_intake_graph(intake), &schema, "cross_entropy", "cpu", allowed, n_allowed, &program, &err));
  MUST(bl_program_rehearse(program, kPass, &err));
  if (strstr(bl_program_report(program), "aten::conv2d") == NULL &&
      strstr(bl_program_report(program), "aten::_convolution") == NULL)
    return 1;

  struct record records[kRecords];
  memset(records, 0, sizeof records);
  for (int i = 0; i < kRecords; i++) {
    for (int j = 0; j < kImage; j++) records[i].image[j] = (float)((i * 31 + j * 7) % 13) / 13;
    for (int j = 0; j < kTokens; j++) records[i].tokens[j] = (i + j) % 11;
    records[i].label = i % 3;
  }
  records[4].tokens[2] = 1000; /* the model fails on this one: it contributes nothing, and nobody is told */
  records[5].label = 77;       /* no class */

  const bl_training training = {.pass_size = kPass,
                                .is_private = 1,
                                .clipping_norm = 1,
                                .release = BL_CERTIFIED,
                                .grid_exponent = 24,
                                .noise_stddev = 0.5,
                                .normalizer = 4,
                                .optimizer = {.kind = BL_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}};
  bl_trainer* trainer = NULL;
  MUST(bl_trainer_create(program, &training, &trainer, &err));
  int calls = 0;
  int32_t failed = 0;
  for (int step = 0; step < 3; step++) {
    const int64_t first[] = {0, 1, 4, -1}, second[] = {2, 3, 5};
    const uint64_t seeds[] = {4u * step + 1, 4u * step + 2, 4u * step + 3, 4u * step + 4};
    MUST(bl_trainer_pass(trainer, (const uint8_t*)records, kRecords, first, seeds, 4, &failed, &err));
    if (!failed) return 1; /* record 4 */
    for (int i = 0; i < 3; i++)
      MUST(bl_trainer_probe(trainer, (const uint8_t*)records, kRecords, first[i], seeds[i], &failed, &err));
    MUST(bl_trainer_pass(trainer, (const uint8_t*)records, kRecords, second, seeds, 3, &failed, &err));
    MUST(bl_trainer_step(trainer, random_bytes, &calls, &err));
  }
  if (calls == 0) return 1;
  for (int64_t i = 0; i < bl_trainer_parameter_count(trainer); i++) {
    bl_tensor_view view;
    MUST(bl_trainer_parameter(trainer, i, &view, &err));
    const float* values = view.data;
    for (size_t k = 0; k < view.bytes / sizeof *values; k++)
      if (!isfinite(values[k])) return 1;
    MUST(bl_trainer_set_parameter(trainer, view.name, view.dtype, view.data, view.bytes, &err));
  }
  bl_error err;
  if (bl_trainer_set_parameter(trainer, "nobody", BL_F32, "", 0, &err) != BL_INVALID_ARGUMENT) return 1;
  const int64_t beyond[] = {kRecords};
  const uint64_t unused = 0;
  if (bl_trainer_pass(trainer, (const uint8_t*)records, kRecords, beyond, &unused, 1, &failed, &err) != BL_INVALID_ARGUMENT)
    return 1;
  bl_trainer_free(trainer);
  bl_program_free(program);
  bl_intake_free(intake);
  puts("smoke: ok");
  return 0;
}
