#include "device.h"

#include <cstring>
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
  // Not hasCUDA, which does not say why there is none: no driver, one that is too old, or one that does not start.
  try {
    at::globalContext().lazyInitDevice(c10::kCUDA);
  } catch (const std::exception& e) {
    throw Failure(BL_INVALID_ARGUMENT, "libtorch finds no GPU: " + first_line(e.what()));
  }
  return c10::Device(c10::kCUDA, 0);
}

void configure_device(c10::Device device) {
  if (device.is_cpu()) return;
  at::Context& context = at::globalContext();
  // PRIVACY: where the order of a sum is left to chance, one record moves the rounding of all. An operator that has no kernel with
  // an order of its own throws, on the zeros of a rehearsal.
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  // SECURITY: memory that a kernel was to fill and reads instead holds NaN, and not what an earlier pass left there.
  context.setDeterministicFillUninitializedMemory(true);
  // PRIVACY: the proof of docs/release.md is about products that are rounded to 24 bits; TensorFloat-32 has 11.
  context.setFloat32MatmulPrecision("highest");
  context.setAllowTF32CuDNN(false);
  // SECURITY: cuDNN chooses, loads and compiles kernels when it meets their shapes, which needs files; and neither its kernels nor
  // the fused ones for attention were looked through for what they read beyond a record.
  context.setUserEnabledCuDNN(false);
  context.setSDPUseFlash(false);
  context.setSDPUseMemEfficient(false);
  context.setSDPUseCuDNN(false);
}

at::Tensor on_host(const at::Tensor& tensor) { return tensor.device().is_cpu() ? tensor : tensor.cpu(); }

void overwrite(const at::Tensor& tensor, const void* data) {
  bool here = tensor.device().is_cpu();
  // What the caller gives need not be aligned as a tensor is.
  at::Tensor numbers = here ? tensor : at::empty(tensor.sizes(), tensor.scalar_type());
  std::memcpy(numbers.mutable_data_ptr(), data, numbers.nbytes());
  if (!here) tensor.copy_(numbers);
}

}  // namespace bastionlab
