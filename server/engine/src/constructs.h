// What TorchScript's interpreter does by instruction instead of by operator: building and taking apart lists, tuples and dicts.
#pragma once

#include "torch.h"

namespace bastionlab {

// Runs the node on the stack's last inputs and leaves its outputs there; false where the node is of another kind.
bool run_construct(const torch::jit::Node* node, torch::jit::Stack& stack);

}  // namespace bastionlab
