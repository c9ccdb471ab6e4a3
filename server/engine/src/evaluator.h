// Evaluator runs the operators of a program while it is unrolled, one record of zeros at a time, and decides what becomes of each:
// a constant, a step of the tape, or a refusal.
#pragma once

#include "archive.h"
#include "judge.h"
#include "views.h"

namespace bastionlab {

class Evaluator {
 public:
  Evaluator(const Archive& archive, const Judge& judge);

  ValueId introduce_input(const at::Tensor& tensor, int index);
  void run(const torch::jit::Node* node, torch::jit::Stack& stack, const std::string& layer);

  // Whether the object or container belongs to the module, and so must not change.
  bool is_protected(const void* memory) const { return protected_.contains(memory); }
  Transcript& transcript() { return transcript_; }

 private:
  void introduce_parameters();
  void protect(const at::Tensor& tensor, const std::string& what);
  void protect(const c10::IValue& value, const std::string& what);
  void refuse_protected_target(const torch::jit::Operator& op, const torch::jit::Stack& arguments, const std::string& layer) const;

  const Archive& archive_;
  const Judge& judge_;
  Transcript transcript_;
  Views views_;
  std::unordered_map<const void*, std::string> protected_;  // memory and containers, and what they are
};

}  // namespace bastionlab
