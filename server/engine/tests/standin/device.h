// A device that computes as the CPU does and whose memory the host cannot touch: libtorch's PrivateUse1, for tests only.
#pragma once

#include <ATen/ATen.h>

namespace standin {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;

inline c10::Device device() { return {kType, 0}; }
c10::Allocator* allocator();
// What an operator draws from that is given no generator.
const at::Generator& generator();

}  // namespace standin
