#pragma once

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

// sum += stddev * N(0, 1) in every coordinate, from the caller's generator, which is called on this thread only.
void add_noise(at::Tensor& sum, double stddev, bl_random random, void* context);

}  // namespace bastionlab
