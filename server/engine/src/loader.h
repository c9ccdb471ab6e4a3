// Loader reads a TorchScript archive without running anything of it.
//
// libtorch's own torch::jit::load runs `__setstate__` and the constructors of custom classes while it reads, takes the size of a
// tensor from the author's word, and reads beyond its bytes where that word is false. This one is built of the same parts and does
// neither.
#pragma once

#include "torch.h"

namespace bastionlab {

torch::jit::Module load_module(const uint8_t* bytes, size_t size);  // throws Failure, or what libtorch throws

}  // namespace bastionlab
