#include "emitter.h"

#include "operators.h"

namespace bastionlab {

c10::IValue Emitter::operator()(const torch::jit::Operator& op, torch::jit::Stack arguments) {
  torch::jit::Stack stack = arguments;
  op.getOperation()(stack);
  bool varying = is_random(op);
  for (const c10::IValue& argument : arguments) varying = varying || transcript_.varies(argument);
  if (varying) transcript_.write(op, layer_, arguments, stack);
  return stack.size() == 1 ? stack[0] : c10::ivalue::Tuple::create(std::move(stack));
}

c10::IValue Emitter::operator()(const char* name, const char* overload, torch::jit::Stack arguments) {
  auto op = torch::jit::findOperatorFor({name, overload});
  TORCH_CHECK(op != nullptr, "libtorch has no operator ", name, ".", overload);
  return (*this)(*op, std::move(arguments));
}

}  // namespace bastionlab
