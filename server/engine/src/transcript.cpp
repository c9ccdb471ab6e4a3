#include "transcript.h"

#include "failure.h"

namespace bastionlab {
namespace {

constexpr size_t kMaxSteps = 200'000;

bool same_tensor(const c10::IValue& value, const at::Tensor& tensor) {
  if (value.isTensor()) return value.toTensor().defined() && value.toTensor().is_same(tensor);
  if (!value.isList()) return false;
  for (const c10::IValue& element : value.toListRef())
    if (same_tensor(element, tensor)) return true;
  return false;
}

// x.view(...) asks how x lies in memory, which differs between one record and many; reshape asks only for the values.
std::shared_ptr<torch::jit::Operator> as_written(const torch::jit::Operator& op) {
  c10::OperatorName name = op.schema().operator_name();
  if ((name.name == "aten::view" && name.overload_name.empty()) || name.name == "aten::_unsafe_view") name = {"aten::reshape", ""};
  return torch::jit::findOperatorFor(name);
}

// How a tensor lies in memory is no part of what it holds, and the formats with channels last exist only for four and five
// dimensions.
c10::IValue without_memory_format(const torch::jit::Operator& op, size_t argument, const c10::IValue& value) {
  const auto& arguments = op.schema().arguments();
  if (!value.isInt() || argument >= arguments.size() || arguments[argument].name() != "memory_format") return value;
  return static_cast<int64_t>(at::MemoryFormat::Contiguous);
}

}  // namespace

ValueId Transcript::add_value(const at::Tensor& tensor, Origin origin, int index) {
  tape_.values.push_back({origin, index, tensor.sizes().vec(), tensor.scalar_type()});
  return static_cast<ValueId>(tape_.values.size()) - 1;
}

ValueId Transcript::introduce(const at::Tensor& tensor, Origin origin, int index) {
  ValueId value = add_value(tensor, origin, index);
  known_[tensor.unsafeGetTensorImpl()] = {tensor, value};
  return value;
}

ValueId Transcript::value_of(const at::Tensor& tensor) const {
  auto found = known_.find(tensor.unsafeGetTensorImpl());
  return found == known_.end() ? kNone : found->second.value;
}

bool Transcript::varies(const at::Tensor& tensor) const { return value_of(tensor) != kNone; }

bool Transcript::varies(const c10::IValue& value) const {
  if (value.isTensor()) return varies(value.toTensor());
  if (value.isList()) {
    for (const c10::IValue& element : value.toListRef())
      if (varies(element)) return true;
  } else if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements())
      if (varies(element)) return true;
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict())
      if (varies(entry.key()) || varies(entry.value())) return true;
  } else if (value.isObject() && !value.type()->is_module()) {
    for (const c10::IValue& slot : value.toObjectRef().slots())
      if (varies(slot)) return true;
  }
  return false;
}

// What a constant holds at this point of the program; the author may change it in place later.
at::Tensor Transcript::constant(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  if (!tensor.has_storage() || fixed_.contains(tensor.storage().unsafeGetStorageImpl())) return tensor.detach();
  auto found = copies_.find(tensor.unsafeGetTensorImpl());
  if (found == copies_.end() || found->second.version != tensor._version())
    found = copies_
                .insert_or_assign(tensor.unsafeGetTensorImpl(),
                                  Copy{tensor, tensor.detach().clone(), static_cast<uint32_t>(tensor._version())})
                .first;
  return found->second.copy;
}

Operand Transcript::operand(const c10::IValue& argument) {
  Operand out;
  if (argument.isTensor()) {
    out.value = value_of(argument.toTensor());
    if (out.value == kNone) out.constant = constant(argument.toTensor());
  } else if (argument.isList() && (varies(argument) || argument.isTensorList())) {
    for (const c10::IValue& element : argument.toListRef()) out.list.push_back(operand(element));
    if (out.list.empty()) out.constant = argument;
  } else {
    out.constant = argument.deepcopy();  // a list of the author's could change later
  }
  return out;
}

void Transcript::write(const torch::jit::Operator& op, const std::string& layer, const torch::jit::Stack& arguments,
                       const torch::jit::Stack& results) {
  if (tape_.steps.size() >= kMaxSteps)
    throw Failure(BL_INCOMPATIBLE_MODEL, "the model has more than 200000 steps", op.schema().name(), layer);
  Step step{as_written(op), op.schema().name(), layer, {}, {}};
  step.name = step.op->schema().name();
  for (size_t i = 0; i < arguments.size(); i++) step.operands.push_back(operand(without_memory_format(op, i, arguments[i])));
  bool useful = false;
  auto result = [&](const at::Tensor& tensor) {
    ValueId value = tensor.defined() ? add_value(tensor, Origin::kStep, 0) : add_value(at::empty({0}), Origin::kStep, 0);
    step.results.push_back(value);
    for (const c10::IValue& argument : arguments)
      if (same_tensor(argument, tensor)) return;  // the operator had nothing to do and gave its argument back
    if (tensor.defined()) known_[tensor.unsafeGetTensorImpl()] = {tensor, value};
    useful = true;
  };
  for (const c10::IValue& value : results) {
    if (value.isTensor()) {
      result(value.toTensor());
    } else {
      for (const c10::IValue& element : value.toListRef()) result(element.toTensor());
    }
  }
  if (useful) tape_.steps.push_back(std::move(step));
}

void Transcript::rebind(const at::Tensor& tensor, const at::Tensor& now) {
  known_[tensor.unsafeGetTensorImpl()] = {tensor, value_of(now)};
}

}  // namespace bastionlab
