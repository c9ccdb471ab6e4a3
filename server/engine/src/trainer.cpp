#include "trainer.h"

#include <cmath>
#include <cstring>

#include "dtype.h"
#include "failure.h"
#include "noise.h"
#include "optimizer.h"
#include "optimizer_state.h"

namespace bastionlab {
namespace {

constexpr int64_t kMaxPassSize = 1 << 20;

void check(const bl_training& training) {
  auto positive = [](double x) { return std::isfinite(x) && x > 0; };
  if (training.pass_size < 1 || training.pass_size > kMaxPassSize) throw Failure(BL_INVALID_ARGUMENT, "pass_size must be positive");
  if (!positive(training.normalizer)) throw Failure(BL_INVALID_ARGUMENT, "normalizer must be positive");
  if (training.is_private == 0) return;
  // PRIVACY: a private run without clipping or without noise does not exist.
  if (!positive(training.clipping_norm)) throw Failure(BL_INVALID_ARGUMENT, "clipping_norm must be positive");
#ifdef BL_TESTING
  if (!std::isfinite(training.noise_stddev) || training.noise_stddev < 0)
    throw Failure(BL_INVALID_ARGUMENT, "noise_stddev must not be negative");
#else
  if (!positive(training.noise_stddev)) throw Failure(BL_INVALID_ARGUMENT, "noise_stddev must be positive");
#endif
}

bl_tensor_view view_of(const std::string& name, const at::Tensor& tensor) {
  return {name.c_str(),          abi_dtype(tensor.scalar_type()), static_cast<int32_t>(tensor.dim()),
          tensor.sizes().data(), tensor.const_data_ptr(),         tensor.nbytes()};
}

}  // namespace

Trainer::Trainer(const Program& program, const bl_training& training) : program_(program), training_(training) {
  check(training);
  for (const Parameter* parameter : program.trainable()) {
    names_.push_back(parameter->name);
    parameters_.push_back(parameter->tensor.detach().clone(at::MemoryFormat::Contiguous));
    sums_.push_back(at::zeros_like(parameters_.back()));
  }
  optimizer_ = make_optimizer(training.optimizer, parameters_);
}

Trainer::~Trainer() = default;

// Nothing where the model fails on a record among these. PRIVACY: neither that nor why is told to anybody.
std::optional<Measurement> Trainer::try_measure(const uint8_t* records, const std::vector<int64_t>& slots,
                                                const std::vector<uint64_t>& seeds) {
  try {
    return measure(program_, parameters_, records, slots, seeds);
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    return std::nullopt;
  }
}

void Trainer::add(Measurement& pass) {
  auto clipping_norm = training_.is_private != 0 ? std::make_optional(training_.clipping_norm) : std::nullopt;
  accumulate(pass, clip_factors(pass.measured, parameters_, pass.counts, clipping_norm), sums_);
}

bool Trainer::pass(const uint8_t* records, int64_t n_records, const int64_t* slots, const uint64_t* seeds, int64_t n_slots) {
  if (n_slots < 0 || n_slots > training_.pass_size || (n_slots > 0 && (slots == nullptr || seeds == nullptr)))
    throw Failure(BL_INVALID_ARGUMENT, "a pass has at most pass_size slots");
  if (records == nullptr || n_records < 1) throw Failure(BL_INVALID_ARGUMENT, "there are no records");
  std::vector<int64_t> all(training_.pass_size, -1);  // the shape of a pass never depends on how many records it holds
  std::vector<uint64_t> all_seeds(training_.pass_size, 0);
  for (int64_t i = 0; i < n_slots; i++) {
    if (slots[i] < -1 || slots[i] >= n_records) throw Failure(BL_INVALID_ARGUMENT, "a slot is neither empty nor a record");
    all[i] = slots[i];
    all_seeds[i] = seeds[i];
  }
  std::optional<Measurement> pass = try_measure(records, all, all_seeds);
  if (pass) add(*pass);
  return pass.has_value();
}

// PRIVACY: one slot fails the whole pass, an empty one perhaps. In the repetition all slots hold the same record with the same
// draws, so that whether it counts is a matter of that record alone; one of them does.
void Trainer::repeat(const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed) {
  if (records == nullptr || slot < 0 || slot >= n_records) throw Failure(BL_INVALID_ARGUMENT, "there is no such record");
  auto size = static_cast<size_t>(training_.pass_size);
  std::optional<Measurement> pass = try_measure(records, std::vector<int64_t>(size, slot), std::vector<uint64_t>(size, seed));
  if (!pass) return;
  pass->counts.slice(0, 1).zero_();
  add(*pass);
}

void Trainer::step(bl_random random, void* context) {
  torch::NoGradGuard no_grad;
  bool noisy = training_.is_private != 0 && training_.noise_stddev > 0;
  if (noisy && random == nullptr) throw Failure(BL_INVALID_ARGUMENT, "a private step needs a generator");
  for (size_t p = 0; p < sums_.size(); p++) {
    if (noisy) add_noise(sums_[p], training_.noise_stddev, random, context);  // PRIVACY: before anything else reads the sum
    sums_[p].div_(training_.normalizer);
    parameters_[p].mutable_grad() = sums_[p];
  }
  optimizer_->step();
  for (size_t p = 0; p < sums_.size(); p++) {
    parameters_[p].mutable_grad().reset();
    sums_[p].zero_();
  }
}

bl_tensor_view Trainer::parameter(int64_t index) const {
  if (index < 0 || index >= parameter_count()) throw Failure(BL_INVALID_ARGUMENT, "there is no such parameter");
  return view_of(names_[index], parameters_[index]);
}

int64_t Trainer::state_count() {
  state_ = optimizer_state(*optimizer_, training_.optimizer, names_, parameters_);
  return static_cast<int64_t>(state_.size());
}

bl_tensor_view Trainer::state(int64_t index) const {
  if (index < 0 || index >= static_cast<int64_t>(state_.size())) throw Failure(BL_INVALID_ARGUMENT, "there is no such tensor");
  return view_of(state_[index].first, state_[index].second);
}

void Trainer::set_state(const bl_tensor_view& given) {
  if (given.name == nullptr || (given.rank > 0 && given.shape == nullptr))
    throw Failure(BL_INVALID_ARGUMENT, "an argument is missing");
  set_optimizer_state(*optimizer_, training_.optimizer, names_, parameters_, given);
}

void Trainer::set_parameter(const std::string& name, int32_t dtype, const void* data, size_t bytes) {
  for (size_t p = 0; p < names_.size(); p++) {
    if (names_[p] != name) continue;
    if (data == nullptr || dtype != abi_dtype(parameters_[p].scalar_type()) || bytes != parameters_[p].nbytes())
      throw Failure(BL_INVALID_ARGUMENT, "the parameter has another dtype or size", "", name);
    std::memcpy(parameters_[p].mutable_data_ptr(), data, bytes);
    return;
  }
  throw Failure(BL_INVALID_ARGUMENT, "there is no trainable parameter of that name", "", name);
}

}  // namespace bastionlab
