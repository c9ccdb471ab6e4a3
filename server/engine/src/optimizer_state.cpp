#include "optimizer_state.h"

#include <functional>

#include "device.h"
#include "dtype.h"
#include "failure.h"

namespace bastionlab {
namespace {

// One parameter's part of the state: its moments by name, and the count of its steps where the optimizer has one.
struct Part {
  std::vector<std::pair<const char*, at::Tensor>> moments;
  int64_t steps = 0;
  bool counted = false;
  std::function<void(int64_t)> set_steps;
};

template <class State>
Part adam_part(State& state, bool amsgrad) {
  Part part{{{"exp_avg.", state.exp_avg()}, {"exp_avg_sq.", state.exp_avg_sq()}}, state.step(), true, {}};
  if (amsgrad) part.moments.emplace_back("max_exp_avg_sq.", state.max_exp_avg_sq());
  part.set_steps = [&state](int64_t steps) { state.step(steps); };
  return part;
}

template <class State>
std::unique_ptr<torch::optim::OptimizerParamState> empty_adam(const at::Tensor& parameter, bool amsgrad) {
  auto state = std::make_unique<State>();
  state->exp_avg(at::zeros_like(parameter, at::MemoryFormat::Preserve));
  state->exp_avg_sq(at::zeros_like(parameter, at::MemoryFormat::Preserve));
  if (amsgrad) state->max_exp_avg_sq(at::zeros_like(parameter, at::MemoryFormat::Preserve));
  return state;
}

std::unique_ptr<torch::optim::OptimizerParamState> empty_state(const bl_optimizer& settings, const at::Tensor& parameter) {
  bool amsgrad = settings.amsgrad != 0;
  if (settings.kind == BL_ADAM) return empty_adam<torch::optim::AdamParamState>(parameter, amsgrad);
  if (settings.kind == BL_ADAMW) return empty_adam<torch::optim::AdamWParamState>(parameter, amsgrad);
  if (settings.momentum == 0) return nullptr;
  auto state = std::make_unique<torch::optim::SGDParamState>();
  state->momentum_buffer(at::zeros_like(parameter, at::MemoryFormat::Preserve));
  return state;
}

Part part_of(torch::optim::OptimizerParamState& state, const bl_optimizer& settings) {
  bool amsgrad = settings.amsgrad != 0;
  if (settings.kind == BL_ADAM) return adam_part(static_cast<torch::optim::AdamParamState&>(state), amsgrad);
  if (settings.kind == BL_ADAMW) return adam_part(static_cast<torch::optim::AdamWParamState&>(state), amsgrad);
  return {{{"momentum_buffer.", static_cast<torch::optim::SGDParamState&>(state).momentum_buffer()}}, 0, false, {}};
}

constexpr char kSteps[] = "step.";

[[noreturn]] void refuse(const char* name) {
  throw Failure(BL_INVALID_ARGUMENT, "the optimizer keeps no such tensor, or one of another dtype or shape", "", name);
}

void take(const at::Tensor& tensor, const bl_tensor_view& given) {
  bool same = given.dtype == abi_dtype(tensor.scalar_type()) && given.rank == tensor.dim() && given.bytes == tensor.nbytes() &&
              (given.data != nullptr || given.bytes == 0) && tensor.is_contiguous();
  for (int64_t d = 0; same && d < tensor.dim(); d++) same = given.shape[d] == tensor.size(d);
  if (!same) refuse(given.name);
  overwrite(tensor, given.data);
}

}  // namespace

std::vector<NamedTensor> optimizer_state(torch::optim::Optimizer& optimizer, const bl_optimizer& settings,
                                         const std::vector<std::string>& names, const std::vector<at::Tensor>& parameters) {
  std::vector<NamedTensor> tensors;
  for (size_t p = 0; p < parameters.size(); p++) {
    auto found = optimizer.state().find(parameters[p].unsafeGetTensorImpl());
    if (found == optimizer.state().end()) continue;
    Part part = part_of(*found->second, settings);
    for (auto& [prefix, moment] : part.moments) tensors.emplace_back(prefix + names[p], moment.contiguous());
    if (part.counted) tensors.emplace_back(kSteps + names[p], at::scalar_tensor(part.steps, at::kLong));
  }
  return tensors;
}

void set_optimizer_state(torch::optim::Optimizer& optimizer, const bl_optimizer& settings, const std::vector<std::string>& names,
                         const std::vector<at::Tensor>& parameters, const bl_tensor_view& given) {
  const std::string name = given.name;
  for (size_t p = 0; p < parameters.size(); p++) {
    // A name ends with its parameter's, after a prefix that holds one dot: both are compared whole below.
    if (!name.ends_with("." + names[p])) continue;
    auto fresh = empty_state(settings, parameters[p]);
    if (fresh == nullptr) refuse(given.name);
    auto& kept = optimizer.state();
    void* key = parameters[p].unsafeGetTensorImpl();
    bool known = kept.find(key) != kept.end();
    Part part = part_of(known ? *kept.at(key) : *fresh, settings);
    bool taken = false;
    for (auto& [prefix, moment] : part.moments) {
      if (name != prefix + names[p]) continue;
      take(moment, given);
      taken = true;
    }
    if (part.counted && name == kSteps + names[p]) {
      at::Tensor steps = at::scalar_tensor(0, at::kLong);
      take(steps, given);
      if (steps.item<int64_t>() < 1) refuse(given.name);
      part.set_steps(steps.item<int64_t>());
      taken = true;
    }
    if (!taken) continue;  // a parameter whose name ends like this one
    if (!known) kept[key] = std::move(fresh);
    return;
  }
  refuse(given.name);
}

}  // namespace bastionlab
