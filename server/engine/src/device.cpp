#include "device.h"

#include <string>

#include "failure.h"

namespace bastionlab {

c10::Device device_of(const char* name) {
  const std::string device = name;
  if (device == "cpu") return c10::Device(c10::kCPU);
#ifdef BL_TESTING
  if (device != "cuda") return c10::Device(device);
#endif
  if (device != "cuda") throw Failure(BL_INVALID_ARGUMENT, "there is no device \"" + device + "\"; there are cpu and cuda");
  if (!at::hasCUDA())
    throw Failure(BL_INVALID_ARGUMENT, "libtorch finds no GPU: none is there, its driver is missing, or libtorch has no CUDA");
  return c10::Device(c10::kCUDA, 0);
}

void start_device(c10::Device device) {}

at::Tensor on_host(const at::Tensor& tensor) { return tensor.device().is_cpu() ? tensor : tensor.cpu(); }

}  // namespace bastionlab
