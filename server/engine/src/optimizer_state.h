// What an optimizer remembers between steps, as named tensors: a run goes on in another process from where it was.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

using NamedTensor = std::pair<std::string, at::Tensor>;

// "exp_avg.<parameter>" and the like, parameter by parameter; nothing before the first step. The moments are not copied.
std::vector<NamedTensor> optimizer_state(torch::optim::Optimizer& optimizer, const bl_optimizer& settings,
                                         const std::vector<std::string>& names, const std::vector<at::Tensor>& parameters);

// Overwrites one of those tensors. The others of its parameter are zero until they are given too.
void set_optimizer_state(torch::optim::Optimizer& optimizer, const bl_optimizer& settings, const std::vector<std::string>& names,
                         const std::vector<at::Tensor>& parameters, const bl_tensor_view& given);

}  // namespace bastionlab
