// Trainer owns what a run changes: the trainable parameters, the step's sum, the optimizer's state.
#pragma once

#include <optional>

#include "optimizer.h"
#include "pass.h"
#include "release.h"

namespace bastionlab {

class Trainer {
 public:
  Trainer(const Program& program, const bl_training& training);
  // PRIVACY: a copy would release the same sums a second time.
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // False where the pass failed and counted nobody: then each of its records is to be probed, and the pass made again with those
  // that do not fail.
  bool pass(const uint8_t* records, int64_t n_records, const int64_t* slots, const uint64_t* seeds, int64_t n_slots);
  bool probe(const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed);
  void again(const uint8_t* records, int64_t n_records, const int64_t* slots, const uint64_t* seeds, int64_t n_slots);
  void step(bl_random random, void* context);
  double loss() const { return loss_; }

  int64_t parameter_count() const { return static_cast<int64_t>(parameters_.tensors.size()); }
  bl_tensor_view parameter(int64_t index) const;
  void set_parameter(const std::string& name, int32_t dtype, const void* data, size_t bytes) {
    parameters_.set(name, dtype, data, bytes);
  }
  int64_t state_count();
  bl_tensor_view state(int64_t index) const;
  void set_state(const bl_tensor_view& given);
  // By parameter; the last one is of losses.
  const Sum& sum(int64_t index) const { return sums_.at(index); }

 private:
  struct Slots {
    std::vector<int64_t> records;  // [pass_size], -1 where empty
    std::vector<uint64_t> seeds;   // [pass_size]
  };
  Slots checked(const uint8_t* records, int64_t n_records, const int64_t* slots, const uint64_t* seeds, int64_t n_slots) const;
  void add(Measurement& pass);
  void add_certified(Measurement& pass, std::optional<double> clipping_norm);
  void add_exact(Measurement& pass);
  std::optional<Measurement> try_measure(const uint8_t* records, const std::vector<int64_t>& slots,
                                         const std::vector<uint64_t>& seeds);

  at::Tensor& room_for(const at::Tensor& parameter) { return room_[parameter.scalar_type() == at::kDouble]; }

  const Program& program_;
  bl_training training_;
  Parameters parameters_;
  Release release_;
  Optimizer optimizer_;
  at::Tensor room_[2];     // on the host, for one noised gradient after the other: in float32, in float64
  std::vector<Sum> sums_;  // by parameter; the last one is of losses
  double loss_ = 0;
  mutable std::vector<at::Tensor> shown_;                  // parameters as they were shown last, on the host
  std::vector<std::pair<std::string, at::Tensor>> state_;  // as it was counted last, on the host
};

}  // namespace bastionlab
