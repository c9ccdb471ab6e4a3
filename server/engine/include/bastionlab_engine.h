/* The C ABI of the private engine: what libtorch does for BastionLab, and nothing else.
 *
 * Purpose: turn a TorchScript archive into a canonical graph, refuse what cannot be trained privately, compute clipped per-record
 * gradients in fixed-shape passes, add noise once per step, update the parameters. The caller samples, counts steps and owns the
 * randomness. Who trains builds a program from a graph and never sees an archive.
 *
 * Invariants: no C++ exception crosses this boundary; every function that can fail returns a bl_status and fills the caller's
 * bl_error; a bl_error text is about the model and never about records. A handle is used by one OS thread at a time, and a pass
 * stays within one call (libtorch's vmap stack and autograd modes are thread-local).
 */
#ifndef BASTIONLAB_ENGINE_H_
#define BASTIONLAB_ENGINE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL_ENGINE_ABI 4
#define BL_API __attribute__((visibility("default")))

typedef enum bl_status {
  BL_OK = 0,
  BL_INVALID_ARGUMENT = 1,
  BL_BAD_ARCHIVE = 2,        /* libtorch cannot read it */
  BL_INCOMPATIBLE_MODEL = 3, /* operator, layer and reason say what cannot be trained privately */
  BL_FORWARD_FAILED = 4,     /* the model does not run on inputs of the schema */
  BL_LOSS_MISMATCH = 5,      /* its output and the label do not fit the loss */
  BL_OUT_OF_MEMORY = 6,
  BL_INTERNAL = 7,
} bl_status;

/* Caller-owned; always NUL-terminated, empty where not known. */
typedef struct bl_error {
  char op[128];      /* "aten::batch_norm" */
  char layer[256];   /* "encoder.0.norm" */
  char reason[1024]; /* one sentence, lower case */
} bl_error;

/* Numbers equal bastionlab.v1.DType. */
typedef enum bl_dtype {
  BL_BOOL = 1,
  BL_U8 = 2,
  BL_I8 = 3,
  BL_I16 = 4,
  BL_I32 = 5,
  BL_I64 = 6,
  BL_F16 = 7,
  BL_BF16 = 8,
  BL_F32 = 9,
  BL_F64 = 10,
} bl_dtype;

/* One tensor of one record: rank and shape without a batch dimension; offset in bytes from the start of the record. */
typedef struct bl_tensor_spec {
  const char* name;
  int32_t dtype;
  int32_t rank;
  const int64_t* shape;
  int64_t offset;
} bl_tensor_spec;

/* Records lie one after the other, record_bytes apart: inputs in order, then the label, without padding. */
typedef struct bl_schema {
  const bl_tensor_spec* inputs;
  int64_t n_inputs;
  bl_tensor_spec label;
  int64_t record_bytes;
  int32_t named_inputs; /* pass inputs to forward by name, else by position */
} bl_schema;

/* ---- process ---- */
BL_API int32_t bl_abi_version(void);
BL_API const char* bl_torch_version(void); /* static */
/* Once per process, before any other call and before the sandbox is closed: starts libtorch's thread pools, touches every lazily
 * initialised part (CPU detection, oneDNN, interpreter, the device), flushes subnormals to zero, turns graph optimisations off.
 * device: "cpu", or "cuda" in a program that is linked with a CUDA libtorch. */
BL_API bl_status bl_start(int32_t threads, const char* device, bl_error* err);
/* From here on the reason of BL_INTERNAL is what libtorch said, which may quote values: for a process that gets no records and
 * nobody's model. The only call that may come before bl_start. */
BL_API void bl_quote_libtorch(void);

/* Contiguous. */
typedef struct bl_tensor_view {
  const char* name;
  int32_t dtype;
  int32_t rank;
  const int64_t* shape;
  const void* data;
  size_t bytes;
} bl_tensor_view;

/* ---- graph: a model as a straight line of operators; the C form of bastionlab.trainer.v1.Graph ---- */
/* Values are numbered: the schema's inputs, then the trainable parameters in order, then the results of the steps in order. */
typedef enum bl_operand_kind {
  BL_NONE = 1,    /* nothing */
  BL_VALUE = 2,   /* integer: which value */
  BL_TENSOR = 3,  /* integer: which tensor of the graph */
  BL_BOOLEAN = 4, /* integer */
  BL_INTEGER = 5,
  BL_REAL = 6,
  BL_TEXT = 7,
  BL_DEVICE = 8, /* the one that the run is on */
  BL_LIST = 9,   /* integer: how many elements; they follow */
} bl_operand_kind;

typedef struct bl_operand {
  int32_t kind;
  int64_t integer;
  double real;
  const char* text; /* NUL-terminated */
} bl_operand;

typedef struct bl_graph_step {
  const char* op;       /* "aten::linear" */
  const char* overload; /* "Tensor", or empty */
  const char* layer;    /* "encoder.0.attention" */
  int64_t n_operands;   /* arguments; a list is one, however many elements follow it */
  int64_t n_results;
} bl_graph_step;

typedef struct bl_graph_parameter {
  const char* name;
  int64_t tensor; /* what it starts from */
  int32_t trainable;
} bl_graph_parameter;

typedef struct bl_graph {
  const bl_tensor_view* tensors; /* without names */
  int64_t n_tensors;
  const bl_graph_parameter* parameters;
  int64_t n_parameters;
  const bl_graph_step* steps;
  int64_t n_steps;
  const bl_operand* operands; /* of all steps, one after the other */
  int64_t n_operands;
  int64_t output; /* a value */
  const char* output_name;
} bl_graph;

/* ---- intake: an archive, judged and unrolled ---- */
typedef struct bl_intake bl_intake;
/* allowed: the names of the operators that may occur ("aten::linear"); all others are refused. The archive's bytes are not
 * kept. */
BL_API bl_status bl_intake_read(const uint8_t* archive, size_t archive_bytes, const bl_schema* schema, const char* const* allowed,
                                size_t n_allowed, bl_intake** out, bl_error* err);
BL_API const bl_graph* bl_intake_graph(const bl_intake*); /* owned by the intake */
BL_API void bl_intake_free(bl_intake*);

/* ---- program: a graph, judged and rewritten ---- */
typedef struct bl_program bl_program;
/* The graph is not believed: every operator is judged again and tried on one record of zeros. Its structures are not kept, but the
 * tensors' data must stay until bl_program_free; it is never written to.
 * loss: "cross_entropy", "bce_with_logits", "l2", "mse", "l1".
 * device: what passes are computed on, as bl_start has started it; graphs are judged on the CPU. */
BL_API bl_status bl_program_build(const bl_graph* graph, const bl_schema* schema, const char* loss, const char* device,
                                  const char* const* allowed, size_t n_allowed, bl_program** out, bl_error* err);
/* Forward, loss, backward and norms on records made from the schema (zeros), in passes of pass_size slots. */
BL_API bl_status bl_program_rehearse(bl_program*, int64_t pass_size, bl_error* err);
/* JSON of bastionlab.v1.CapabilityReport in protobuf's JSON mapping (without program_sha256); owned by the program. */
BL_API const char* bl_program_report(bl_program*);
BL_API void bl_program_free(bl_program*);

/* ---- trainer ---- */
typedef enum bl_optimizer_kind { BL_SGD = 1, BL_ADAM = 2, BL_ADAMW = 3 } bl_optimizer_kind;
typedef struct bl_optimizer {
  int32_t kind;
  double lr, weight_decay;
  double momentum, dampening; /* SGD */
  double beta1, beta2, eps;   /* Adam, AdamW */
  int32_t nesterov, amsgrad;
} bl_optimizer;

/* How a private step's sum leaves, on the grid of width C 2^-grid_exponent; docs/release.md has the proofs. */
typedef enum bl_release {
#ifdef BL_TESTING
  BL_UNROUNDED = 0, /* clipped, neither rounded nor noised */
#endif
  BL_EXACT = 1,     /* passes of one record, whose integers are measured: one record moves the sum by at most C */
  BL_CERTIFIED = 2, /* passes of many: by at most C (1 + eta), eta a constant */
} bl_release;

typedef struct bl_training {
  int64_t pass_size;     /* slots of every pass, > 0; 1 where the release is exact */
  int32_t is_private;    /* 0: no clipping, no grid and no noise (dataset without a limit) */
  int32_t release;       /* bl_release, when private */
  int32_t grid_exponent; /* k, when private */
  double clipping_norm;  /* C > 0 */
  double noise_stddev;   /* noise multiplier times C, times 1 + eta where certified; > 0 when private */
  double normalizer;     /* the public expected batch size, > 0 */
  double loss_bound;     /* B: losses clamped to [0, B] are released beside the gradients, which then have C sqrt(0.95); 0: none */
  bl_optimizer optimizer;
} bl_training;

typedef struct bl_trainer bl_trainer;
/* The program stays the caller's and must outlive the trainer; its parameters are the starting point. */
BL_API bl_status bl_trainer_create(bl_program*, const bl_training*, bl_trainer** out, bl_error* err);
BL_API void bl_trainer_free(bl_trainer*);

/* One pass: adds the clipped gradients of records[slots[i]], i < n_slots <= pass_size, to the step's sum. A slot of -1 is empty and
 * contributes zero. All that the model draws at random for a record comes from seeds[i] alone, so that it is the same in whatever
 * slot and company; a seed must be used for one record in one step and never again. What is not finite
 * contributes zero. Where the model fails on a slot, an empty one perhaps, nobody has counted and `failed` is 1: then each record
 * of the pass is to be probed, and the pass made again. PRIVACY: whether a pass failed is a fact about records and must not leave
 * the caller. */
BL_API bl_status bl_trainer_pass(bl_trainer*, const uint8_t* records, int64_t n_records, const int64_t* slots,
                                 const uint64_t* seeds, int64_t n_slots, int32_t* failed, bl_error* err);
/* Whether the model fails on a record of a pass that failed, in a pass that holds nothing but copies of it; nothing is added. */
BL_API bl_status bl_trainer_probe(bl_trainer*, const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed,
                                  int32_t* failed, bl_error* err);
/* A pass that failed, once more, with -1 for the records that fail: whoever does not fail counts as if the others had been empty.
 */
BL_API bl_status bl_trainer_again(bl_trainer*, const uint8_t* records, int64_t n_records, const int64_t* slots,
                                  const uint64_t* seeds, int64_t n_slots, bl_error* err);

/* Fills n bytes from a cryptographically secure generator. Called by one thread at a time, which need not be
 * the one that called the engine. */
typedef void (*bl_random)(void* context, uint8_t* out, size_t n);
/* Ends the step: noise once, division by the normalizer, optimizer, sum back to zero. */
BL_API bl_status bl_trainer_step(bl_trainer*, bl_random random, void* context, bl_error* err);

/* The mean loss per record of the last step, with its noise: the noised sum of clamped losses over the normalizer. 0 where none is
 * released. */
BL_API double bl_trainer_loss(const bl_trainer*);

/* The trainable parameters, by their names in the scientist's module, valid until the next call on the trainer. */
BL_API int64_t bl_trainer_parameter_count(const bl_trainer*);
BL_API bl_status bl_trainer_parameter(bl_trainer*, int64_t index, bl_tensor_view* out, bl_error* err);
/* Overwrites one trainable parameter: the weights of an earlier run. Name, dtype and size must fit. */
BL_API bl_status bl_trainer_set_parameter(bl_trainer*, const char* name, int32_t dtype, const void* data, size_t bytes,
                                          bl_error* err);

/* ---- evaluation: one number about many records ---- */
#define BL_METRIC_BITS 30 /* a record's value is an integer between 0 and 2^30 */

typedef struct bl_evaluation {
  const char* metric;  /* "accuracy", or the name of a loss */
  double bound;        /* a loss is clamped to [0, bound] and divided by it */
  int32_t is_private;  /* 0: no noise (dataset without a limit) */
  double noise_stddev; /* of the sum, in units of the largest value of a record; > 0 when private */
} bl_evaluation;

typedef struct bl_evaluator bl_evaluator;
/* Sums up a metric over records with the program in evaluation mode: dropout is identity. The program stays the caller's and must
 * outlive the evaluator; its parameters are what is tested. A record of zeros is tried. */
BL_API bl_status bl_evaluator_create(bl_program*, const bl_evaluation*, bl_evaluator** out, bl_error* err);
BL_API void bl_evaluator_free(bl_evaluator*);
/* Of the trainable parameters. */
BL_API int64_t bl_evaluator_parameter_count(const bl_evaluator*);
/* As bl_trainer_set_parameter. */
BL_API bl_status bl_evaluator_set_parameter(bl_evaluator*, const char* name, int32_t dtype, const void* data, size_t bytes,
                                            bl_error* err);
/* Adds the value of one record, which is alone in its pass. A slot of -1 is empty: it is computed like any other, and counts zero.
 * So does a record on which the model fails, or whose output is not finite, or whose label is no class; no status tells of it. */
BL_API bl_status bl_evaluator_add(bl_evaluator*, const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed,
                                  bl_error* err);
/* The sum with noise, in units of 2^-BL_METRIC_BITS. Once. */
BL_API bl_status bl_evaluator_release(bl_evaluator*, bl_random random, void* context, int64_t* out, bl_error* err);

/* What the optimizer remembers between two steps, beside the parameters: "momentum_buffer.NAME" (SGD with momentum), or
 * "exp_avg.NAME", "exp_avg_sq.NAME", with amsgrad "max_exp_avg_sq.NAME", and "step.NAME", one int64 (Adam, AdamW). There is nothing
 * before the first step. A trainer that is given parameters and all of these goes on bit for bit as the one that they came from.
 * The count takes stock, between two steps; the views are valid until the next call but bl_trainer_state. */
BL_API bl_status bl_trainer_state_count(bl_trainer*, int64_t* out, bl_error* err);
BL_API bl_status bl_trainer_state(bl_trainer*, int64_t index, bl_tensor_view* out, bl_error* err);
/* Overwrites one of them; name, dtype and shape must fit. Until the others of its parameter are given, they are zero. */
BL_API bl_status bl_trainer_set_state(bl_trainer*, const bl_tensor_view*, bl_error* err);

#ifdef BL_TESTING
/* Only in builds for tests: the step's sum so far, before noise, as float64, or in integers of the grid. Behind the last parameter
 * lies the sum of losses. */
BL_API bl_status bl_testing_clipped_sum(bl_trainer*, int64_t index, double* out, size_t count, bl_error* err);
BL_API bl_status bl_testing_grid_sum(bl_trainer*, int64_t index, int64_t* out, size_t count, bl_error* err);
/* n rounded normal numbers, and how the one of a word that needs more bits is rounded. */
BL_API bl_status bl_testing_noise(double stddev, int64_t* out, size_t count, bl_random random, void* context, bl_error* err);
BL_API int64_t bl_testing_rounded_normal(uint64_t word, uint64_t more, double stddev);
/* |z| for a word, in double precision. */
BL_API double bl_testing_normal(uint64_t word);
#endif

#ifdef __cplusplus
}
#endif
#endif
