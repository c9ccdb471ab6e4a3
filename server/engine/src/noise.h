#pragma once

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

// sum += round(stddev * N(0, 1)) in every one of n coordinates, from the caller's generator, which is called on this thread only.
// stddev is in units of the grid, at most kLargestDeviation.
void add_noise(int64_t* sum, int64_t n, double stddev, bl_random random, void* context);

}  // namespace bastionlab
