// Emitter runs an operator of the engine's own choosing while a program is unrolled, and writes it down like one of the author's.
#pragma once

#include <string>

#include "transcript.h"

namespace bastionlab {

class Emitter {
 public:
  Emitter(Transcript& transcript, std::string layer) : transcript_(transcript), layer_(std::move(layer)) {}

  c10::IValue operator()(const char* name, const char* overload, torch::jit::Stack arguments);
  at::Tensor tensor(const char* name, const char* overload, torch::jit::Stack arguments) {
    return (*this)(name, overload, std::move(arguments)).toTensor();
  }
  c10::IValue operator()(const torch::jit::Operator& op, torch::jit::Stack arguments);

  Transcript& transcript() { return transcript_; }

 private:
  Transcript& transcript_;
  std::string layer_;
};

}  // namespace bastionlab
