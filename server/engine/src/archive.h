// Archive is what torch::jit reads from the author's file: a module with named tensors. Nothing of it has been judged yet.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "torch.h"

namespace bastionlab {

struct Parameter {
  std::string name;  // as in the author's module; the first of its names where it is tied
  at::Tensor tensor;
  bool trainable;
};

struct Archive {
  torch::jit::Module module;
  std::vector<Parameter> parameters;  // each tensor once
  std::unordered_map<const c10::ivalue::Object*, std::string> layers;

  // The parameter that a tensor is, or -1. Two attributes that are the same memory are the same parameter.
  int parameter_of(const at::Tensor& tensor) const;
};

Archive read_archive(const uint8_t* bytes, size_t size);  // throws Failure

}  // namespace bastionlab
