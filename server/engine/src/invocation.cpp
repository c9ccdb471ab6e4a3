#include "invocation.h"

#include <algorithm>

namespace bastionlab {

Invocation::Invocation(const Step& step) : step_(step), run_(step.op->getOperation()) {
  for (const c10::Argument& argument : step.op->schema().arguments()) types_.push_back(argument.type());
  for_each_value(step_.operands, [&](ValueId& value) {
    if (std::find(values_.begin(), values_.end(), value) == values_.end()) values_.push_back(value);
  });
}

std::vector<at::Tensor> Invocation::run(torch::jit::Stack& stack) const {
  run_(stack);
  std::vector<at::Tensor> results = tensors_of(stack);
  TORCH_CHECK(results.size() == step_.results.size(), "expected ", step_.results.size(), " results, got ", results.size());
  return results;
}

}  // namespace bastionlab
