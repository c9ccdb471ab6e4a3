// The tensors of one operator's call, on their way to a kernel of the CPU and back. The kernel gets tensors over the very memory,
// so that what changes in place changes, and what shares memory goes on sharing it.
#pragma once

#include <ATen/ATen.h>

#include <unordered_map>
#include <utility>
#include <vector>

namespace standin {

class Crossing {
 public:
  // Strict: as a device has it, a tensor of the host beside one of the device is a number or a mistake.
  explicit Crossing(bool strict) : strict_(strict) {}

  c10::IValue to_kernel(const c10::IValue& value);
  at::Tensor to_kernel(const at::Tensor& tensor);
  // To be called when all went there.
  void check() const;

  // What the kernel made of the tensors that it was given: other sizes, other memory.
  void bring_back();
  c10::IValue from_kernel(const c10::IValue& value);
  at::Tensor from_kernel(const at::Tensor& tensor);

 private:
  c10::Storage seen(const c10::Storage& storage);
  c10::Storage held(const c10::Storage& storage);

  bool strict_, has_device_ = false;
  at::Tensor host_;                                                        // one that has dimensions
  std::vector<std::pair<at::Tensor, at::Tensor>> given_;                   // of the device, and what the kernel has for it
  std::vector<at::Tensor> host_tensors_;                                   // given as they are
  std::unordered_map<const c10::StorageImpl*, c10::Storage> seen_, held_;  // by the other one
  std::vector<c10::Storage> kept_;                                         // so that no address is used twice
};

}  // namespace standin
