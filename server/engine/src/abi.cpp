// The boundary: C on one side, exceptions on the other.
#include <ATen/Version.h>
#include <torch/version.h>

#include "device.h"
#include "evaluate.h"
#include "failure.h"
#include "gaussian.h"
#include "graph.h"
#include "judge.h"
#include "noise.h"
#include "program.h"
#include "start.h"
#include "trainer.h"
#include "unroll.h"

struct bl_intake {
  bastionlab::Graph graph;
};

struct bl_program {
  std::unique_ptr<bastionlab::Program> program;
};

struct bl_trainer {
  bastionlab::Trainer trainer;
};

struct bl_evaluator {
  bastionlab::Evaluation evaluation;
};

namespace {

using bastionlab::Failure;
using bastionlab::guarded;

template <class T>
T& given(T* pointer) {
  if (pointer == nullptr) throw Failure(BL_INVALID_ARGUMENT, "an argument is missing");
  return *pointer;
}

bastionlab::Judge judge_of(const char* const* allowed, size_t n_allowed) {
  if (n_allowed > 0) given(allowed);
  return bastionlab::Judge(allowed, n_allowed);
}

}  // namespace

int32_t bl_abi_version(void) { return BL_ENGINE_ABI; }

const char* bl_torch_version(void) { return TORCH_VERSION; }

bl_status bl_start(int32_t threads, const char* device, bl_error* err) {
  return guarded(err, [&] { bastionlab::start(threads, bastionlab::device_of(&given(device))); });
}

void bl_quote_libtorch(void) { bastionlab::quote_libtorch(); }

bl_status bl_intake_read(const uint8_t* bytes, size_t size, const bl_schema* schema, const char* const* allowed, size_t n_allowed,
                         bl_intake** out, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(out) = nullptr;
    bastionlab::Judge judge = judge_of(allowed, n_allowed);
    bastionlab::Schema layout = bastionlab::read_schema(schema);
    bastionlab::Archive archive = bastionlab::read_archive(bytes, size);
    bastionlab::Tape tape = bastionlab::unroll(archive, layout, judge);
    *out = new bl_intake{bastionlab::Graph(tape, archive.parameters, layout.inputs.size())};
  });
}

const bl_graph* bl_intake_graph(const bl_intake* intake) { return intake == nullptr ? nullptr : &intake->graph.view(); }

void bl_intake_free(bl_intake* intake) { delete intake; }

bl_status bl_program_build(const bl_graph* graph, const bl_schema* schema, const char* loss, const char* device,
                           const char* const* allowed, size_t n_allowed, bl_program** out, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(out) = nullptr;
    c10::Device on = bastionlab::device_of(&given(device));
    *out = new bl_program{bastionlab::build_program(given(graph), schema, loss, on, judge_of(allowed, n_allowed))};
  });
}

bl_status bl_program_rehearse(bl_program* program, int64_t pass_size, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    if (pass_size < 1) throw Failure(BL_INVALID_ARGUMENT, "pass_size must be positive");
    bastionlab::rehearse(*given(program).program, pass_size);
  });
}

const char* bl_program_report(bl_program* program) { return program == nullptr ? "" : program->program->report.c_str(); }

void bl_program_free(bl_program* program) { delete program; }

bl_status bl_trainer_create(bl_program* program, const bl_training* training, bl_trainer** out, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(out) = nullptr;
    *out = new bl_trainer{bastionlab::Trainer(*given(program).program, given(training))};
  });
}

void bl_trainer_free(bl_trainer* trainer) { delete trainer; }

bl_status bl_trainer_pass(bl_trainer* trainer, const uint8_t* records, int64_t n_records, const int64_t* slots,
                          const uint64_t* seeds, int64_t n_slots, int32_t* failed, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(failed) = given(trainer).trainer.pass(records, n_records, slots, seeds, n_slots) ? 0 : 1;
  });
}

bl_status bl_trainer_probe(bl_trainer* trainer, const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed,
                           int32_t* failed, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(failed) = given(trainer).trainer.probe(records, n_records, slot, seed) ? 0 : 1;
  });
}

bl_status bl_trainer_again(bl_trainer* trainer, const uint8_t* records, int64_t n_records, const int64_t* slots,
                           const uint64_t* seeds, int64_t n_slots, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(trainer).trainer.again(records, n_records, slots, seeds, n_slots);
  });
}

bl_status bl_trainer_step(bl_trainer* trainer, bl_random random, void* context, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(trainer).trainer.step(random, context);
  });
}

double bl_trainer_loss(const bl_trainer* trainer) { return trainer == nullptr ? 0 : trainer->trainer.loss(); }

int64_t bl_trainer_parameter_count(const bl_trainer* trainer) {
  return trainer == nullptr ? 0 : trainer->trainer.parameter_count();
}

bl_status bl_trainer_parameter(bl_trainer* trainer, int64_t index, bl_tensor_view* out, bl_error* err) {
  return guarded(err, [&] { given(out) = given(trainer).trainer.parameter(index); });
}

bl_status bl_trainer_set_parameter(bl_trainer* trainer, const char* name, int32_t dtype, const void* data, size_t bytes,
                                   bl_error* err) {
  return guarded(err, [&] { given(trainer).trainer.set_parameter(&given(name), dtype, data, bytes); });
}

bl_status bl_trainer_state_count(bl_trainer* trainer, int64_t* out, bl_error* err) {
  return guarded(err, [&] { given(out) = given(trainer).trainer.state_count(); });
}

bl_status bl_trainer_state(bl_trainer* trainer, int64_t index, bl_tensor_view* out, bl_error* err) {
  return guarded(err, [&] { given(out) = given(trainer).trainer.state(index); });
}

bl_status bl_trainer_set_state(bl_trainer* trainer, const bl_tensor_view* tensor, bl_error* err) {
  return guarded(err, [&] { given(trainer).trainer.set_state(given(tensor)); });
}

bl_status bl_evaluator_create(bl_program* program, const bl_evaluation* settings, bl_evaluator** out, bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(out) = nullptr;
    *out = new bl_evaluator{bastionlab::Evaluation(*given(program).program, given(settings))};
  });
}

void bl_evaluator_free(bl_evaluator* evaluator) { delete evaluator; }

int64_t bl_evaluator_parameter_count(const bl_evaluator* evaluator) {
  return evaluator == nullptr ? 0 : evaluator->evaluation.parameter_count();
}

bl_status bl_evaluator_set_parameter(bl_evaluator* evaluator, const char* name, int32_t dtype, const void* data, size_t bytes,
                                     bl_error* err) {
  return guarded(err, [&] { given(evaluator).evaluation.set_parameter(&given(name), dtype, data, bytes); });
}

bl_status bl_evaluator_add(bl_evaluator* evaluator, const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed,
                           bl_error* err) {
  return guarded(err, [&] {
    bastionlab::prepare_thread();
    given(evaluator).evaluation.add(records, n_records, slot, seed);
  });
}

bl_status bl_evaluator_release(bl_evaluator* evaluator, bl_random random, void* context, int64_t* out, bl_error* err) {
  return guarded(err, [&] {
    given(out) = 0;
    *out = given(evaluator).evaluation.release(random, context);
  });
}

#ifdef BL_TESTING
namespace {

const bastionlab::Sum& sum_of(bl_trainer* trainer, int64_t index, size_t count) {
  if (index < 0 || index > given(trainer).trainer.parameter_count())
    throw Failure(BL_INVALID_ARGUMENT, "there is no such parameter");
  const bastionlab::Sum& sum = trainer->trainer.sum(index);
  if (static_cast<size_t>(sum.size()) != count) throw Failure(BL_INVALID_ARGUMENT, "the parameter has another size");
  return sum;
}

}  // namespace

bl_status bl_testing_clipped_sum(bl_trainer* trainer, int64_t index, double* out, size_t count, bl_error* err) {
  return guarded(err, [&] {
    at::Tensor values = sum_of(trainer, index, count).values();
    std::memcpy(&given(out), values.const_data_ptr(), values.nbytes());
  });
}

bl_status bl_testing_grid_sum(bl_trainer* trainer, int64_t index, int64_t* out, size_t count, bl_error* err) {
  return guarded(err, [&] {
    const bastionlab::Sum& sum = sum_of(trainer, index, count);
    if (!sum.on_grid()) throw Failure(BL_INVALID_ARGUMENT, "the sum is not on a grid");
    at::Tensor numbers = bastionlab::on_host(sum.numbers());
    std::memcpy(&given(out), numbers.const_data_ptr(), numbers.nbytes());
  });
}

bl_status bl_testing_noise(double stddev, int64_t* out, size_t count, bl_random random, void* context, bl_error* err) {
  return guarded(err, [&] {
    given(out);
    bastionlab::Noise(stddev, random, context)
        .draw(static_cast<int64_t>(count),
              [&](int64_t begin, std::span<const int64_t> noise) { std::copy(noise.begin(), noise.end(), out + begin); });
  });
}

int64_t bl_testing_rounded_normal(uint64_t word, uint64_t more, double stddev) {
  return bastionlab::rounded_normal(word, more, stddev);
}

double bl_testing_normal(uint64_t word) { return bastionlab::absolute_normal(word); }
#endif
