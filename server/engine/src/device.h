// Device is what the passes of a program are computed on. What is judged, sampled, noised and sent away is on the host.
#pragma once

#include "torch.h"

namespace bastionlab {

// By its name in the ABI: "cpu" or "cuda". Throws Failure where this libtorch cannot compute on it.
c10::Device device_of(const char* name);

// Holds libtorch to kernels that give the same numbers for the same numbers, before the first of them runs.
void configure_device(c10::Device device);

// The same numbers in the host's memory; the tensor itself where it lies there.
at::Tensor on_host(const at::Tensor& tensor);

// The tensor's numbers become those that lie at `data`, one after the other in its type. It must be contiguous.
void overwrite(const at::Tensor& tensor, const void* data);

}  // namespace bastionlab
