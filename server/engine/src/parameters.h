// Trainable parameters by name: those of a run, or those that are tested.
#pragma once

#include <string>
#include <vector>

#include "program.h"

namespace bastionlab {

struct Parameters {
  // Copies of what the program starts from.
  explicit Parameters(const Program& program);

  // Name, dtype and size must fit; throws Failure(BL_INVALID_ARGUMENT).
  void set(const std::string& name, int32_t dtype, const void* data, size_t bytes);

  std::vector<std::string> names;
  std::vector<at::Tensor> tensors;
};

}  // namespace bastionlab
