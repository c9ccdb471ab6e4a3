#include "optimizer.h"

#include <cmath>

#include "device.h"
#include "dtype.h"
#include "failure.h"

namespace bastionlab {
namespace {

constexpr char kSteps[] = "step";

void check(bool ok, const char* what) {
  if (!ok) throw Failure(BL_INVALID_ARGUMENT, what);
}

bool is_fraction(double x) { return x >= 0 && x < 1; }

void check_settings(const bl_optimizer& o) {
  check(o.kind == BL_SGD || o.kind == BL_ADAM || o.kind == BL_ADAMW, "unknown optimizer");
  check(std::isfinite(o.lr) && o.lr >= 0, "lr must not be negative");
  check(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "weight_decay must not be negative");
  if (o.kind == BL_SGD) {
    check(std::isfinite(o.momentum) && o.momentum >= 0, "momentum must not be negative");
    check(std::isfinite(o.dampening), "dampening must be finite");
    check(o.nesterov == 0 || (o.momentum > 0 && o.dampening == 0), "nesterov needs a momentum and no dampening");
  } else {
    check(is_fraction(o.beta1) && is_fraction(o.beta2), "beta1 and beta2 must be at least 0 and below 1");
    check(std::isfinite(o.eps) && o.eps >= 0, "eps must not be negative");
  }
}

std::vector<const char*> moment_names(const bl_optimizer& o) {
  if (o.kind == BL_SGD) return o.momentum > 0 ? std::vector{"momentum_buffer"} : std::vector<const char*>{};
  return o.amsgrad != 0 ? std::vector{"exp_avg", "exp_avg_sq", "max_exp_avg_sq"} : std::vector{"exp_avg", "exp_avg_sq"};
}

std::string name_of(const char* part, const std::string& parameter) { return std::string(part) + "." + parameter; }

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

Optimizer::Optimizer(const bl_optimizer& settings, const Parameters& parameters)
    : settings_(settings), parameters_(parameters), moment_names_(moment_names(settings)), memories_(parameters.tensors.size()) {
  check_settings(settings);
}

Optimizer::Memory Optimizer::empty_memory(size_t p) const {
  Memory memory;
  for (size_t i = 0; i < moment_names_.size(); i++) memory.moments.push_back(at::zeros_like(parameters_.tensors[p]));
  return memory;
}

void Optimizer::step(size_t p, const at::Tensor& gradient) {
  bool is_first = !memories_[p].has_value();
  if (is_first) memories_[p] = empty_memory(p);
  memories_[p]->steps++;
  if (settings_.kind == BL_SGD)
    step_sgd(parameters_.tensors[p], gradient, memories_[p]->moments, is_first);
  else
    step_adam(parameters_.tensors[p], gradient, *memories_[p]);
}

void Optimizer::step_sgd(const at::Tensor& parameter, const at::Tensor& gradient, const std::vector<at::Tensor>& moments,
                         bool is_first) const {
  const bl_optimizer& o = settings_;
  at::_fused_sgd_({parameter}, {gradient}, moments, o.weight_decay, o.momentum, o.lr, o.dampening, o.nesterov != 0,
                  /*maximize=*/false, is_first);
}

void Optimizer::step_adam(const at::Tensor& parameter, const at::Tensor& gradient, const Memory& memory) const {
  const bl_optimizer& o = settings_;
  at::Tensor steps = at::scalar_tensor(memory.steps, at::device(parameter.device()).dtype(at::kFloat));
  at::TensorList moments = memory.moments, greatest = moments.slice(2);  // the latter for amsgrad
  auto step = o.kind == BL_ADAM ? &at::_ops::_fused_adam_::call : &at::_ops::_fused_adamw_::call;
  step({parameter}, {gradient}, moments[0], moments[1], greatest, {steps}, o.lr, o.beta1, o.beta2, o.weight_decay, o.eps,
       o.amsgrad != 0, /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/{});
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> tensors;
  for (size_t p = 0; p < memories_.size(); p++) {
    if (!memories_[p]) continue;
    const std::string& name = parameters_.names[p];
    for (size_t m = 0; m < moment_names_.size(); m++)
      tensors.emplace_back(name_of(moment_names_[m], name), memories_[p]->moments[m]);
    if (counts_steps()) tensors.emplace_back(name_of(kSteps, name), at::scalar_tensor(memories_[p]->steps, at::kLong));
  }
  return tensors;
}

void Optimizer::set_state(const bl_tensor_view& given) {
  for (size_t p = 0; p < memories_.size(); p++) {
    const std::string& name = parameters_.names[p];
    if (!std::string_view(given.name).ends_with("." + name)) continue;  // perhaps another's that ends like this one
    Memory memory = memories_[p] ? *memories_[p] : empty_memory(p);
    bool taken = false;
    for (size_t m = 0; m < moment_names_.size(); m++) {
      if (given.name != name_of(moment_names_[m], name)) continue;
      take(memory.moments[m], given);
      taken = true;
    }
    if (counts_steps() && given.name == name_of(kSteps, name)) {
      at::Tensor steps = at::scalar_tensor(0, at::kLong);
      take(steps, given);
      memory.steps = steps.item<int64_t>();
      if (memory.steps < 1) refuse(given.name);
      taken = true;
    }
    if (!taken) continue;
    memories_[p] = std::move(memory);
    return;
  }
  refuse(given.name);
}

}  // namespace bastionlab
