#include "inplace.h"

#include <set>

#include "failure.h"

namespace bastionlab {
namespace {

using c10::IValue;
using torch::jit::Operator;
using torch::jit::Stack;

// Changes of shape, not of values.
const std::set<std::string> kShape = {"aten::squeeze_",   "aten::unsqueeze_", "aten::t_",
                                      "aten::transpose_", "aten::swapaxes_",  "aten::swapdims_"};

at::Tensor as_type_and_shape_of(const at::Tensor& target, at::Tensor now, Emitter& emit) {
  if (now.sizes() != target.sizes()) now = emit.tensor("aten::expand", "", {now, target.sizes().vec(), false});
  if (now.scalar_type() != target.scalar_type())
    now = emit.tensor("aten::to", "dtype", {now, static_cast<int64_t>(target.scalar_type()), false, false, IValue()});
  return now;
}

at::Tensor like(const char* name, const at::Tensor& target, Emitter& emit) {
  return emit.tensor(name, "", {target, IValue(), IValue(), IValue(), IValue(), IValue()});
}

at::Tensor affine(const at::Tensor& x, const IValue& scale, const IValue& shift, Emitter& emit) {
  return emit.tensor("aten::add", "Scalar", {emit.tensor("aten::mul", "Scalar", {x, scale}), shift, 1});
}

// The new values; those operators come first that have no counterpart without the underscore, or none that vmap knows.
at::Tensor new_values(const Operator& op, const Stack& a, Emitter& emit) {
  const std::string& name = op.schema().name();
  const at::Tensor& target = a.at(0).toTensor();
  if (name == "aten::copy_") return a.at(1).toTensor();
  if (name == "aten::zero_") return like("aten::zeros_like", target, emit);
  if (name == "aten::fill_" && a.at(1).isTensor()) return a.at(1).toTensor();
  if (name == "aten::fill_")
    return emit.tensor("aten::full_like", "", {target, a.at(1), IValue(), IValue(), IValue(), IValue(), IValue()});
  if (name == "aten::normal_") return affine(like("aten::randn_like", target, emit), a.at(2), a.at(1), emit);
  if (name == "aten::uniform_")
    return affine(like("aten::rand_like", target, emit), a.at(2).toDouble() - a.at(1).toDouble(), a.at(1), emit);
  if (name == "aten::exponential_") {
    at::Tensor u = like("aten::rand_like", target, emit);
    at::Tensor log = emit.tensor("aten::log1p", "", {emit.tensor("aten::neg", "", {u})});
    return emit.tensor("aten::mul", "Scalar", {log, -1 / a.at(1).toDouble()});
  }
  if (name == "aten::bernoulli_" && a.at(1).isDouble()) {
    at::Tensor u = like("aten::rand_like", target, emit);
    return emit.tensor("aten::lt", "Scalar", {u, a.at(1)});
  }
  auto pure = torch::jit::findOperatorFor({name.substr(0, name.size() - 1), op.schema().overload_name()});
  if (pure == nullptr || pure->schema().arguments().size() != a.size())
    throw Failure(BL_INCOMPATIBLE_MODEL, "it changes a tensor in place; use the operator without the trailing underscore", name);
  return emit(*pure, a).toTensor();
}

}  // namespace

void run_in_place(const Operator& op, Stack& stack, Views& views, Emitter& emit) {
  const std::string& name = op.schema().name();
  bool known_form = name.back() == '_' && stack.at(0).isTensor() && op.schema().returns().size() == 1;
  if (!known_form) throw Failure(BL_INCOMPATIBLE_MODEL, "it writes into one of its arguments", name);
  at::Tensor target = stack.at(0).toTensor();
  at::Tensor now = new_values(op, stack, emit);
  if (kShape.contains(name)) {
    if (views.is_entangled(target))
      throw Failure(BL_INCOMPATIBLE_MODEL, "it changes the shape of a view in place; use the operator without the underscore",
                    name);
    op.getOperation()(stack);
    emit.transcript().rebind(target, now);
    return;
  }
  now = as_type_and_shape_of(target, now, emit);
  op.getOperation()(stack);  // the sample changes too, and all its views with it
  views.change(target, now, emit);
}

}  // namespace bastionlab
