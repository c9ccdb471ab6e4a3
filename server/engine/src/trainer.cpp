#include "trainer.h"

#include <algorithm>
#include <cmath>

#include "device.h"
#include "dtype.h"
#include "failure.h"
#include "grid.h"
#include "noise.h"
#include "optimizer.h"

namespace bastionlab {
namespace {

// A little less than the bound: what rounding adds to an exact contribution must still fit.
constexpr double kExactMargin = 1 - 0x1p-12;

bl_tensor_view view_of(const std::string& name, const at::Tensor& tensor) {
  return {name.c_str(),          abi_dtype(tensor.scalar_type()), static_cast<int32_t>(tensor.dim()),
          tensor.sizes().data(), tensor.const_data_ptr(),         tensor.nbytes()};
}

}  // namespace

Trainer::Trainer(const Program& program, const bl_training& training)
    : program_(program),
      training_(training),
      parameters_(program),
      release_(training, parameters_.tensors),
      optimizer_(training.optimizer, parameters_) {
  // An exact sum is added up where its integers are measured.
  c10::Device device = release_.exact ? c10::Device(c10::kCPU) : program.device;
  for (const at::Tensor& parameter : parameters_.tensors) sums_.emplace_back(parameter.sizes(), release_.unit, device);
  sums_.emplace_back(at::IntArrayRef{1}, release_.unit, device);  // of losses
  shown_.resize(parameters_.tensors.size());
  for (const at::Tensor& parameter : parameters_.tensors) {
    at::Tensor& room = room_for(parameter);
    if (!room.defined() || room.numel() < parameter.numel()) room = at::empty(parameter.numel(), parameter.scalar_type());
  }
}

// Nothing where the model fails on a record among these. PRIVACY: neither that nor why is told to anybody.
std::optional<Measurement> Trainer::try_measure(const uint8_t* records, const std::vector<int64_t>& slots,
                                                const std::vector<uint64_t>& seeds) {
  try {
    return measure(program_, parameters_.tensors, records, slots, seeds);
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    return std::nullopt;
  }
}

void Trainer::add(Measurement& pass) {
  torch::NoGradGuard no_grad;
  if (release_.exact)
    add_exact(pass);
  else
    add_certified(pass, release_.clips ? std::make_optional(release_.gradient_norm) : std::nullopt);
}

void Trainer::add_certified(Measurement& pass, std::optional<double> clipping_norm) {
  at::Tensor factors = clip_factors(pass.measured, parameters_.tensors, pass.counts, clipping_norm);  // [B]
  if (release_.loss_bound > 0) {
    // PRIVACY: what is not finite contributes to neither, and a loss is rounded by itself.
    at::Tensor losses = release_.scaled_losses(pass.losses).masked_fill_(factors.eq(0), 0);  // [B]
    sums_.back().add_rows(at::zeros({losses.size(0)}, losses.options().dtype(at::kLong)), losses.unsqueeze(1));
  }
  accumulate(pass, factors, sums_);
}

// PRIVACY: the very integers that are added are measured before, so that nothing of how they were computed matters.
void Trainer::add_exact(Measurement& pass) {
  if (!pass.counts.item<bool>()) return;
  std::vector<at::Tensor> gradients = written_out(pass.measured, parameters_.tensors);  // float64
  for (at::Tensor& gradient : gradients) gradient = on_host(gradient);
  at::Tensor loss = on_host(release_.scaled_losses(pass.losses));  // [1]
  double norm = norm_of(gradients);
  if (!std::isfinite(norm)) return;
  double factor = std::min(1.0, release_.gradient_norm * kExactMargin / norm);
  std::vector<at::Tensor> integers;
  unsigned __int128 squares = 0;
  auto round = [&](const at::Tensor& values, double scale) {
    integers.push_back(at::empty(values.sizes(), at::kLong));
    auto sum = round_all(integers.back().mutable_data_ptr<int64_t>(), values.const_data_ptr<double>(), scale / *release_.unit,
                         release_.largest_norm, values.numel());
    if (sum) squares += *sum;
    return sum.has_value();
  };
  for (at::Tensor& gradient : gradients) {
    if (!round(gradient, factor)) return;
    gradient.reset();
  }
  if (release_.loss_bound > 0 && !round(loss, kExactMargin)) return;
  if (squares > static_cast<unsigned __int128>(release_.largest_norm) * static_cast<unsigned __int128>(release_.largest_norm))
    return;
  for (size_t p = 0; p < integers.size(); p++) sums_[p].add_integers(integers[p].view({-1}));
}

Trainer::Slots Trainer::checked(const uint8_t* records, int64_t n_records, const int64_t* slots, const uint64_t* seeds,
                                int64_t n_slots) const {
  if (n_slots < 0 || n_slots > training_.pass_size || (n_slots > 0 && (slots == nullptr || seeds == nullptr)))
    throw Failure(BL_INVALID_ARGUMENT, "a pass has at most pass_size slots");
  if (records == nullptr || n_records < 1) throw Failure(BL_INVALID_ARGUMENT, "there are no records");
  // The shape of a pass never depends on how many records it holds.
  Slots all{std::vector<int64_t>(training_.pass_size, -1), std::vector<uint64_t>(training_.pass_size, 0)};
  for (int64_t i = 0; i < n_slots; i++) {
    if (slots[i] < -1 || slots[i] >= n_records) throw Failure(BL_INVALID_ARGUMENT, "a slot is neither empty nor a record");
    all.records[i] = slots[i];
    all.seeds[i] = seeds[i];
  }
  return all;
}

bool Trainer::pass(const uint8_t* records, int64_t n_records, const int64_t* slots, const uint64_t* seeds, int64_t n_slots) {
  Slots all = checked(records, n_records, slots, seeds, n_slots);
  std::optional<Measurement> pass = try_measure(records, all.records, all.seeds);
  if (pass) add(*pass);
  return pass.has_value();
}

// PRIVACY: one slot fails the whole pass, an empty one perhaps. Here all slots hold the same record with the same draws, so that
// whether it fails is a matter of that record alone.
bool Trainer::probe(const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed) {
  if (records == nullptr || slot < 0 || slot >= n_records) throw Failure(BL_INVALID_ARGUMENT, "there is no such record");
  auto size = static_cast<size_t>(training_.pass_size);
  return try_measure(records, std::vector<int64_t>(size, slot), std::vector<uint64_t>(size, seed)).has_value();
}

// PRIVACY: everybody who does not fail is where they were in the pass that failed, and is summed and rounded with the same others,
// so that a record that fails, or is not there, changes nothing of theirs. What takes its slot is a copy of one that does not fail,
// and does not count.
void Trainer::again(const uint8_t* records, int64_t n_records, const int64_t* slots, const uint64_t* seeds, int64_t n_slots) {
  Slots given = checked(records, n_records, slots, seeds, n_slots);
  auto first = std::find_if(given.records.begin(), given.records.end(), [](int64_t record) { return record >= 0; });
  if (first == given.records.end()) return;
  int64_t stand_in = *first;
  uint64_t seed = given.seeds[first - given.records.begin()];
  std::vector<uint8_t> counts;
  for (size_t i = 0; i < given.records.size(); i++) {
    counts.push_back(given.records[i] >= 0);
    if (given.records[i] >= 0) continue;
    given.records[i] = stand_in;
    given.seeds[i] = seed;
  }
  std::optional<Measurement> pass = try_measure(records, given.records, given.seeds);
  // No record fails, so this is about the machine, and nothing is known of what to count.
  if (!pass) throw Failure(BL_INTERNAL, "a pass failed in which no record does");
  at::Tensor kept = at::from_blob(counts.data(), {static_cast<int64_t>(counts.size())}, at::kByte).ne(0);
  pass->counts.logical_and_(kept.to(pass->counts.device()));
  add(*pass);
}

void Trainer::step(bl_random random, void* context) {
  torch::NoGradGuard no_grad;
  bool noisy = release_.unit.has_value() && release_.noise_stddev > 0;
  if (noisy && random == nullptr) throw Failure(BL_INVALID_ARGUMENT, "a private step needs a generator");
  std::optional<Noise> noise;
  if (noisy) noise.emplace(release_.noise_stddev, random, context);
  auto release = [&](Sum& sum, at::Tensor out, double factor) {
    if (noise) return sum.release_into(out, factor, *noise);
    sum.on_host().scaled_into(out, factor);
    sum.clear();
  };
  for (size_t p = 0; p < parameters_.tensors.size(); p++) {
    const at::Tensor& parameter = parameters_.tensors[p];
    at::Tensor gradient = room_for(parameter).narrow(0, 0, parameter.numel()).view(parameter.sizes());
    release(sums_[p], gradient, 1 / training_.normalizer);
    optimizer_.step(p, gradient.to(parameter.device()));
  }
  at::Tensor loss = at::empty({1}, at::kDouble);
  release(sums_.back(), loss, 1);
  loss_ = release_.loss_bound > 0 ? loss.item<double>() / training_.normalizer / release_.loss_scale : 0;
}

bl_tensor_view Trainer::parameter(int64_t index) const {
  if (index < 0 || index >= parameter_count()) throw Failure(BL_INVALID_ARGUMENT, "there is no such parameter");
  shown_[index] = on_host(parameters_.tensors[index]);
  return view_of(parameters_.names[index], shown_[index]);
}

int64_t Trainer::state_count() {
  state_ = optimizer_.state();
  for (auto& [name, tensor] : state_) tensor = on_host(tensor);
  return static_cast<int64_t>(state_.size());
}

bl_tensor_view Trainer::state(int64_t index) const {
  if (index < 0 || index >= static_cast<int64_t>(state_.size())) throw Failure(BL_INVALID_ARGUMENT, "there is no such tensor");
  return view_of(state_[index].first, state_[index].second);
}

void Trainer::set_state(const bl_tensor_view& given) {
  if (given.name == nullptr || (given.rank > 0 && given.shape == nullptr))
    throw Failure(BL_INVALID_ARGUMENT, "an argument is missing");
  optimizer_.set_state(given);
}

}  // namespace bastionlab
