#include "evaluate.h"

#include <cmath>

#include "failure.h"
#include "mode.h"
#include "noise.h"
#include "pass.h"

namespace bastionlab {
namespace {

constexpr int64_t kOne = int64_t{1} << BL_METRIC_BITS;
constexpr double kLargestStddev = 0x1p16;        // of the noise, as far as its rounding goes
constexpr int64_t kMaxSlots = int64_t{1} << 32;  // their sum fits twice into 63 bits

// The standard deviation of the sum's noise, in units of a record's largest value.
double stddev_of(const bl_evaluation& settings) {
  if (settings.is_private == 0) return 0;
  double stddev = settings.noise_stddev;
#ifdef BL_TESTING
  bool usable = stddev >= 0 && stddev <= kLargestStddev;
#else
  bool usable = stddev > 0 && stddev <= kLargestStddev;
#endif
  // PRIVACY: a private test without noise does not exist.
  if (!usable) throw Failure(BL_INVALID_ARGUMENT, "noise_stddev must be positive");
  return stddev;
}

}  // namespace

Evaluation::Evaluation(const Program& program, const bl_evaluation& settings)
    : program_(program),
      metric_(read_metric(settings.metric, settings.bound, program.loss)),
      tape_(in_evaluation_mode(program.unmeasured)),
      parameters_(program),
      stddev_(stddev_of(settings)) {
  const ValueInfo& output = tape_.values[tape_.output];
  check_loss(metric_.loss, output.shape, output.dtype, program.schema.label);
  plan_ = rewrite(tape_, program.parameters, program.device);
  measure(nullptr, -1, 0);
}

double Evaluation::measure(const uint8_t* records, int64_t slot, uint64_t seed) const {
  std::vector<int64_t> slots{slot};
  Frame frame{program_.device, 1, std::vector<at::Tensor>(tape_.values.size()), parameters_.tensors, {seed}, {}};
  // SECURITY: as in training, gradients and all, so that the kernels are those that training was examined with.
  torch::AutoGradMode grad_mode(true);
  at::Tensor output = forward(program_.schema, tape_, plan_, frame, records, slots);
  torch::NoGradGuard no_grad;
  return compute_metric(metric_, output, gather(program_.schema.label, records, program_.schema.record_bytes, slots, frame.device));
}

void Evaluation::add(const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed) {
  if (records == nullptr || slot < -1 || slot >= n_records) throw Failure(BL_INVALID_ARGUMENT, "there is no such record");
  if (released_ || slots_ == kMaxSlots) throw Failure(BL_INVALID_ARGUMENT, "the sum is given away, or full");
  double value = 0;
  try {
    value = measure(records, slot, seed);
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    // PRIVACY: neither that the model fails on a record nor why is told to anybody.
  }
  slots_++;
  // PRIVACY: sensitivity. Whatever a slot holds, it moves the sum by 0 to kOne.
  if (slot >= 0) sum_ += std::llrint(value * kOne);
}

int64_t Evaluation::release(bl_random random, void* context) {
  if (released_) throw Failure(BL_INVALID_ARGUMENT, "the sum is given away already");
  if (stddev_ > 0 && random == nullptr) throw Failure(BL_INVALID_ARGUMENT, "a private test needs a generator");
  released_ = true;  // PRIVACY: two sums with two noises would be two queries
  if (stddev_ > 0)
    Noise(stddev_ * kOne, random, context).draw(1, [&](int64_t, std::span<const int64_t> noise) { sum_ += noise.front(); });
  return sum_;
}

}  // namespace bastionlab
