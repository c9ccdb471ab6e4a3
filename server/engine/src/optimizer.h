// Optimizer turns noised gradients into changes of the parameters, by libtorch's fused kernels. It sees nothing else of a step.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bastionlab_engine.h"
#include "parameters.h"

namespace bastionlab {

using NamedTensor = std::pair<std::string, at::Tensor>;

class Optimizer {
 public:
  // Changes the given parameters, which outlive it. Throws Failure(BL_INVALID_ARGUMENT).
  Optimizer(const bl_optimizer& settings, const Parameters& parameters);
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // gradient: of that parameter's shape, type and device.
  void step(size_t parameter, const at::Tensor& gradient);

  // What it remembers between steps, with which a run goes on in another process from where it was: "exp_avg.<parameter>" and the
  // like, parameter by parameter; nothing before the first step. The moments are not copied.
  std::vector<NamedTensor> state() const;
  // Overwrites one of those tensors. The others of its parameter are zero until they are given too.
  void set_state(const bl_tensor_view& given);

 private:
  // Of one parameter.
  struct Memory {
    std::vector<at::Tensor> moments;  // as moment_names_ has them
    int64_t steps = 0;
  };
  Memory empty_memory(size_t parameter) const;
  bool counts_steps() const { return settings_.kind != BL_SGD; }
  void step_sgd(const at::Tensor& parameter, const at::Tensor& gradient, const std::vector<at::Tensor>& moments,
                bool is_first) const;
  void step_adam(const at::Tensor& parameter, const at::Tensor& gradient, const Memory& memory) const;

  bl_optimizer settings_;
  const Parameters& parameters_;
  std::vector<const char*> moment_names_;
  std::vector<std::optional<Memory>> memories_;  // by parameter; nothing before its first step
};

}  // namespace bastionlab
