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

// rrelu(x, lower, upper, training): a slope for negative values that is drawn anew for each.
IValue lower_rrelu(const Stack& a, Emitter& emit) {
  double low = a.at(1).toDouble(), high = a.at(2).toDouble();
  at::Tensor x = a.at(0).toTensor();
  if (!a.at(3).toBool()) return emit("aten::leaky_relu", "", {x, (low + high) / 2});
  at::Tensor u = emit.tensor("aten::rand_like", "", {x, IValue(), IValue(), IValue(), IValue(), IValue()});
  at::Tensor slope = emit.tensor("aten::add", "Scalar", {emit.tensor("aten::mul", "Scalar", {u, high - low}), low, 1});
  at::Tensor negative = emit.tensor("aten::lt", "Scalar", {x, 0});
  return emit("aten::where", "self", {negative, emit.tensor("aten::mul", "Tensor", {x, slope}), x});
}

// one_hot(x, classes): a scatter of ones, which refuses a class that is none, as one_hot does. libtorch's vmap would let it pass.
bool lower_one_hot(Stack& a, Emitter& emit) {
  at::Tensor x = a.at(0).toTensor();
  int64_t classes = a.at(1).toInt();
  if (classes < 1 || x.scalar_type() != at::kLong) return false;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.push_back(classes);
  at::Tensor zeros = emit.tensor("aten::new_zeros", "", {x, shape, IValue(), IValue(), IValue(), IValue()});  // [..., classes]
  a = {emit("aten::scatter", "value", {zeros, -1, emit.tensor("aten::unsqueeze", "", {x, -1}), 1})};
  return true;
}

}  // namespace

at::Tensor select_scatter(const at::Tensor& base, const at::Tensor& now, int64_t dim, int64_t index, Emitter& emit) {
  dim = at::maybe_wrap_dim(dim, base.dim());
  index = at::maybe_wrap_dim(index, base.size(dim));
  at::Tensor slice = emit.tensor("aten::unsqueeze", "", {now, dim});
  return emit.tensor("aten::slice_scatter", "", {base, slice, dim, index, index + 1, 1});
}

bool lower(const torch::jit::Operator& op, Stack& stack, Emitter& emit) {
  const std::string& name = op.schema().name();
  const std::string& overload = op.schema().overload_name();
  IValue result;
  if (name == "prim::data") {
    result = emit("aten::detach", "", {stack.at(0)});
  } else if (name == "aten::to" && overload.rfind("prim_", 0) == 0) {
    result = lower_to(overload, stack, emit);
  } else if (name == "aten::select_scatter") {
    result = select_scatter(stack.at(0).toTensor(), stack.at(1).toTensor(), stack.at(2).toInt(), stack.at(3).toInt(), emit);
  } else if (name == "aten::rrelu") {
    result = lower_rrelu(stack, emit);
  } else if (name == "aten::cpu") {
    result = stack.at(0);
  } else if (name == "aten::one_hot") {
    return lower_one_hot(stack, emit);
  } else {
    return lower_recurrent(op, stack, emit);
  }
  stack = {std::move(result)};
  return true;
}

}  // namespace bastionlab
