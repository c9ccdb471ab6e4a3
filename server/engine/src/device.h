// Device is what the passes of a program are computed on. What is judged, sampled, noised and sent away is on the host.
#pragma once

#include "torch.h"

namespace bastionlab {

// By its name in the ABI: "cpu" or "cuda". Throws Failure where this libtorch cannot compute on it.
c10::Device device_of(const char* name);

// Brings libtorch's part for the device up and holds it to kernels that give the same numbers for the same numbers.
void start_device(c10::Device device);

// The same numbers in the host's memory; the tensor itself where it lies there.
at::Tensor on_host(const at::Tensor& tensor);

}  // namespace bastionlab
