#include "crossing.h"

#include <cstring>

#include "device.h"
#include "memory.h"

namespace standin {
namespace {

at::Tensor tensor_over(c10::Storage storage, c10::DispatchKey key, const at::Tensor& like) {
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), like.dtype());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  if (like.is_conj()) tensor._set_conj(true);
  if (like.is_neg()) tensor._set_neg(true);
  return tensor;
}

}  // namespace

// By the kernel's address; a kernel that needs more takes memory of the host, which is found out afterwards.
c10::Storage Crossing::seen(const c10::Storage& storage) {
  auto [found, is_new] = seen_.try_emplace(storage.unsafeGetStorageImpl());
  if (is_new) {
    found->second = c10::Storage(c10::Storage::use_byte_size_t(), storage.nbytes(),
                                 c10::DataPtr(seen_by_kernels(storage.data()), c10::Device(c10::kCPU)), at::getCPUAllocator(),
                                 /*resizable=*/true);
    held_.emplace(found->second.unsafeGetStorageImpl(), storage);
    kept_.push_back(found->second);
  }
  return found->second;
}

c10::Storage Crossing::held(const c10::Storage& storage) {
  auto [found, is_new] = held_.try_emplace(storage.unsafeGetStorageImpl());
  if (is_new) {
    found->second = c10::Storage(c10::Storage::use_byte_size_t(), storage.nbytes(), allocator(), /*resizable=*/true);
    if (storage.nbytes() > 0) std::memcpy(seen_by_kernels(found->second.data()), storage.data(), storage.nbytes());
    kept_.push_back(storage);
  }
  return found->second;
}

at::Tensor Crossing::to_kernel(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  if (tensor.device().type() != kType) {
    if (tensor.dim() > 0) host_ = tensor;
    host_tensors_.push_back(tensor);
    return tensor;
  }
  TORCH_CHECK(tensor.layout() == at::kStrided, "the stand-in device has strided tensors only");
  has_device_ = true;
  for (const auto& [device, kernel] : given_)
    if (device.is_same(tensor)) return kernel;
  at::Tensor kernel = tensor_over(seen(tensor.storage()), c10::DispatchKey::CPU, tensor);
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) kernel.unsafeGetTensorImpl()->set_wrapped_number(true);
  given_.emplace_back(tensor, kernel);
  return kernel;
}

c10::IValue Crossing::to_kernel(const c10::IValue& value) {
  if (value.isTensor()) return to_kernel(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(to_kernel(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      list.push_back(tensor ? std::make_optional(to_kernel(*tensor)) : std::nullopt);
    return list;
  }
  if (value.isDevice() && value.toDevice().type() == kType) return c10::Device(c10::kCPU);
  return value;
}

void Crossing::check() const {
  TORCH_CHECK(!strict_ || !has_device_ || !host_.defined(), "expected all tensors to be on the same device, but one of shape ",
              host_.defined() ? host_.sizes() : at::IntArrayRef{}, " is on the host");
}

void Crossing::bring_back() {
  for (auto& [device, kernel] : given_) {
    c10::Storage storage = held(kernel.storage());
    if (kernel.storage().data() != seen_by_kernels(storage.data())) {
      c10::DataPtr fresh = allocator()->allocate(kernel.storage().nbytes());
      if (fresh) std::memcpy(seen_by_kernels(fresh.get()), kernel.storage().data(), kernel.storage().nbytes());
      storage.set_data_ptr(std::move(fresh));
      storage.unsafeGetStorageImpl()->set_nbytes(kernel.storage().nbytes());
    }
    c10::TensorImpl* impl = device.unsafeGetTensorImpl();
    if (!device.storage().is_alias_of(storage)) impl->set_storage_keep_dtype(storage);
    if (device.sizes() != kernel.sizes() || device.strides() != kernel.strides() ||
        device.storage_offset() != kernel.storage_offset())
      impl->set_sizes_and_strides(kernel.sizes(), kernel.strides(), kernel.storage_offset());
  }
}

at::Tensor Crossing::from_kernel(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.device().is_cpu()) return tensor;
  for (const auto& [device, kernel] : given_)
    if (kernel.is_same(tensor)) return device;
  for (const at::Tensor& host : host_tensors_)
    if (host.is_same(tensor)) return host;
  TORCH_CHECK(tensor.layout() == at::kStrided, "the stand-in device has strided tensors only");
  return tensor_over(held(tensor.storage()), c10::DispatchKey::PrivateUse1, tensor);
}

c10::IValue Crossing::from_kernel(const c10::IValue& value) {
  if (value.isTensor()) return from_kernel(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(from_kernel(tensor));
    return list;
  }
  return value;
}

}  // namespace standin
