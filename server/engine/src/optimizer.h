#pragma once

#include <memory>
#include <vector>

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

// libtorch's own; it sees nothing but the noised gradient.
std::unique_ptr<torch::optim::Optimizer> make_optimizer(const bl_optimizer& optimizer, const std::vector<at::Tensor>& parameters);

}  // namespace bastionlab
