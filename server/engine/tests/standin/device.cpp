#include "device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/DeviceType.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "memory.h"

namespace standin {
namespace {

class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = standin::allocate(bytes);
    return {block, block, &standin::release, device()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &standin::release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(seen_by_kernels(to), seen_by_kernels(from), bytes);
  }
};

// One device with one stream, on which all is done at once.
class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return device(); }
  c10::Device getDevice() const override { return device(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Stream getStream(c10::Device) const override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const override { return stream(); }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(c10::DeviceIndex) const override {}

 private:
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, device()); }
};

class Hooks final : public at::PrivateUse1HooksInterface {
 public:
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override { return generator(); }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::detail::createCPUGenerator(); }
  c10::Device getDeviceFromPtr(void*) const override { return device(); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    c10::DataPtr fresh = allocator()->allocate(bytes);
    allocator()->copy_data(fresh.mutable_get(), storage.data(), std::min(bytes, storage.nbytes()));
    storage.set_data_ptr(std::move(fresh));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
};

Allocator the_allocator;
c10::AllocatorRegisterer<kType> registered_allocator(&the_allocator);
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// By its own name, and so libtorch takes it for the accelerator of this process rather than a GPU, which it looks for in vain.
[[maybe_unused]] const bool registered =
    (at::RegisterPrivateUse1HooksInterface(new Hooks), c10::register_privateuse1_backend("privateuseone"), true);

}  // namespace

c10::Allocator* allocator() { return &the_allocator; }

// Its kernels are the CPU's, and so are its numbers for a seed; it is another generator than the CPU's.
const at::Generator& generator() {
  static auto* generator = new at::Generator(at::detail::createCPUGenerator());
  return *generator;
}

}  // namespace standin
