#include "lower.h"

namespace bastionlab {
namespace {

using c10::IValue;
using torch::jit::Stack;

// x.to(...) in the forms of the interpreter, whose device and type may be left out. There is one device.
IValue lower_to(const std::string& overload, const Stack& a, Emitter& emit) {
  IValue type;
  if (overload == "prim_dtype") type = a.at(1);
  if (overload == "prim_Device") type = a.at(2);
  if (type.isNone()) return a.at(0);
  return emit("aten::to", "dtype", {a.at(0), type, false, false, IValue()});
}

}  // namespace

bool lower(const torch::jit::Operator& op, Stack& stack, Emitter& emit) {
  const std::string& name = op.schema().name();
  const std::string& overload = op.schema().overload_name();
  IValue result;
  if (name == "prim::data") {
    result = emit("aten::detach", "", {stack.at(0)});
  } else if (name == "aten::to" && overload.rfind("prim_", 0) == 0) {
    result = lower_to(overload, stack, emit);
  } else if (name == "aten::cpu") {
    result = stack.at(0);
  } else {
    return lower_recurrent(op, stack, emit);
  }
  stack = {std::move(result)};
  return true;
}

}  // namespace bastionlab
