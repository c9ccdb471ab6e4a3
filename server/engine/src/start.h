#pragma once

#include <cstdint>

#include "torch.h"

namespace bastionlab {

// Starts what libtorch starts lazily, while files and threads can still be had. Once per process.
void start(int32_t threads, c10::Device device);

// Flushes subnormals on the calling thread and its pool, for their slowness would tell of the data; and silences warnings.
void prepare_thread();

}  // namespace bastionlab
