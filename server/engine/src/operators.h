// What kind an operator is when one of its arguments varies. The caller's table says what may run; this says how.
#pragma once

#include "torch.h"

namespace bastionlab {

// Looks only at what shapes and types decide: aten::size, prim::dtype, ...
bool reads_metadata(const torch::jit::Operator& op);
// Puts tensors into a list or dict, or takes them out, without looking at them.
bool moves_elements(const torch::jit::Operator& op);
// Hands its argument on as it is.
bool passes_through(const torch::jit::Operator& op);
// Draws random numbers.
bool is_random(const torch::jit::Operator& op);
// Its gradient is computed one way or another by what the whole tensor holds, other records' numbers included.
bool looks_at_all(const torch::jit::Operator& op);
// Every result is a tensor or a list of tensors, computed by libtorch's dispatcher.
bool gives_tensors(const torch::jit::Operator& op);
// The argument that it changes in place, or -1.
int written_argument(const torch::jit::Operator& op);

}  // namespace bastionlab
