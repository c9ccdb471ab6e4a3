#include "optimizer.h"

#include <cmath>

#include "failure.h"

namespace bastionlab {
namespace {

void check(bool ok, const char* what) {
  if (!ok) throw Failure(BL_INVALID_ARGUMENT, what);
}

bool is_fraction(double x) { return x >= 0 && x < 1; }

template <class Options>
Options adam(const bl_optimizer& o) {
  check(is_fraction(o.beta1) && is_fraction(o.beta2), "beta1 and beta2 must be at least 0 and below 1");
  check(std::isfinite(o.eps) && o.eps >= 0, "eps must not be negative");
  Options options(o.lr);
  options.betas(std::make_tuple(o.beta1, o.beta2)).eps(o.eps).weight_decay(o.weight_decay).amsgrad(o.amsgrad != 0);
  return options;
}

torch::optim::SGDOptions sgd(const bl_optimizer& o) {
  check(std::isfinite(o.momentum) && o.momentum >= 0, "momentum must not be negative");
  check(std::isfinite(o.dampening), "dampening must be finite");
  check(o.nesterov == 0 || (o.momentum > 0 && o.dampening == 0), "nesterov needs a momentum and no dampening");
  torch::optim::SGDOptions options(o.lr);
  options.momentum(o.momentum).dampening(o.dampening).weight_decay(o.weight_decay).nesterov(o.nesterov != 0);
  return options;
}

}  // namespace

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const bl_optimizer& o, const std::vector<at::Tensor>& parameters) {
  check(std::isfinite(o.lr) && o.lr >= 0, "lr must not be negative");
  check(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "weight_decay must not be negative");
  switch (o.kind) {
    case BL_SGD:
      return std::make_unique<torch::optim::SGD>(parameters, sgd(o));
    case BL_ADAM:
      return std::make_unique<torch::optim::Adam>(parameters, adam<torch::optim::AdamOptions>(o));
    case BL_ADAMW:
      return std::make_unique<torch::optim::AdamW>(parameters, adam<torch::optim::AdamWOptions>(o));
    default:
      throw Failure(BL_INVALID_ARGUMENT, "unknown optimizer");
  }
}

}  // namespace bastionlab
