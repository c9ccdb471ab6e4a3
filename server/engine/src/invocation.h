// Invocation is the operator of a step, to be called on whatever stands for the step's values.
#pragma once

#include "tape.h"

namespace bastionlab {

class Invocation {
 public:
  explicit Invocation(const Step& step);

  const std::vector<ValueId>& values() const { return values_; }  // among the operands, each once
  const std::vector<ValueId>& results() const { return step_.results; }

  // One tensor for each of the step's results.
  template <class F>
  std::vector<at::Tensor> operator()(F&& value_of) const {
    torch::jit::Stack stack;
    stack.reserve(step_.operands.size());
    for (size_t i = 0; i < step_.operands.size(); i++) stack.push_back(argument(step_.operands[i], types_[i], value_of));
    return run(stack);
  }

 private:
  std::vector<at::Tensor> run(torch::jit::Stack& stack) const;

  Step step_;
  mutable torch::jit::Operation run_;  // calling one is not const in libtorch, though it changes nothing
  std::vector<c10::TypePtr> types_;
  std::vector<ValueId> values_;
};

}  // namespace bastionlab
