#include "evaluator.h"

#include <algorithm>

#include "failure.h"
#include "inplace.h"
#include "lower.h"
#include "operators.h"
#include "storage.h"

namespace bastionlab {

using c10::IValue;
using torch::jit::Operator;
using torch::jit::Stack;

Evaluator::Evaluator(const Archive& archive, const Judge& judge) : archive_(archive), judge_(judge) {
  introduce_parameters();
  // SECURITY: what belongs to the module never changes while it runs, so nothing of a record can stay in it.
  for (const auto& [name, value] : archive_.module.named_attributes()) protect(value, "the attribute " + name);
}

void Evaluator::introduce_parameters() {
  for (size_t i = 0; i < archive_.parameters.size(); i++) {
    const Parameter& parameter = archive_.parameters[i];
    if (parameter.trainable) transcript_.introduce(parameter.tensor, Origin::kParameter, static_cast<int>(i));
    protect(parameter.tensor, "the parameter " + parameter.name);
  }
}

ValueId Evaluator::introduce_input(const at::Tensor& tensor, int index) {
  protect(tensor, "an input");
  return transcript_.introduce(tensor, Origin::kInput, index);
}

void Evaluator::protect(const at::Tensor& tensor, const std::string& what) {
  if (!tensor.defined() || !tensor.has_storage()) return;
  protected_.emplace(tensor.storage().unsafeGetStorageImpl(), what);
  transcript_.never_changes(tensor);
  int index = archive_.parameter_of(tensor);
  if (index >= 0 && archive_.parameters[index].trainable) transcript_.same(tensor, archive_.parameters[index].tensor);
  for (const Parameter& parameter : archive_.parameters)
    if (index < 0 && parameter.trainable && tensor.is_alias_of(parameter.tensor))
      throw Failure(BL_INCOMPATIBLE_MODEL, what + " shares memory with the parameter " + parameter.name + " without being it");
}

void Evaluator::protect(const IValue& value, const std::string& what) {
  if (value.isTensor()) {
    protect(value.toTensor(), what);
  } else if (value.isList()) {
    protected_.emplace(value.internalToPointer(), what);
    for (const IValue& element : value.toListRef()) protect(element, what);
  } else if (value.isGenericDict()) {
    protected_.emplace(value.internalToPointer(), what);
    for (const auto& entry : value.toGenericDict()) protect(entry.value(), what);
  } else if (value.isTuple()) {
    for (const IValue& element : value.toTupleRef().elements()) protect(element, what);
  } else if (value.isObject() && !value.type()->is_module()) {
    if (!protected_.emplace(value.internalToPointer(), what).second) return;
    for (const IValue& slot : value.toObjectRef().slots()) protect(slot, what);
  }
}

// SECURITY: no operator may write into what outlives the record.
void Evaluator::refuse_protected_target(const Operator& op, const Stack& arguments, const std::string& layer) const {
  for (size_t i = 0; i < arguments.size() && i < op.schema().arguments().size(); i++) {
    const auto* alias = op.schema().arguments()[i].alias_info();
    if (alias == nullptr || !alias->isWrite()) continue;
    const void* memory = nullptr;
    if (arguments[i].isTensor() && arguments[i].toTensor().defined() && arguments[i].toTensor().has_storage())
      memory = arguments[i].toTensor().storage().unsafeGetStorageImpl();
    else if (arguments[i].isList() || arguments[i].isGenericDict() || arguments[i].isObject())
      memory = arguments[i].internalToPointer();
    auto found = protected_.find(memory);
    if (found == protected_.end()) continue;
    // The first that BatchNorm does in training mode is to count its batches.
    if (found->second.ends_with("num_batches_tracked"))
      throw Failure(BL_INCOMPATIBLE_MODEL, kBatchNormReason, "aten::batch_norm", layer);
    throw Failure(BL_INCOMPATIBLE_MODEL, "it changes " + found->second + " in place", op.schema().name(), layer);
  }
}

void Evaluator::run(const torch::jit::Node* node, Stack& stack, const std::string& layer) {
  std::string name = node->kind().toQualString();
  judge_.operator_allowed(name, layer);
  if (name == "aten::warn") return stack.clear();  // its text goes nowhere
  const Operator* op = node->maybeOperator();
  if (op == nullptr) throw Failure(BL_INCOMPATIBLE_MODEL, "libtorch does not know this operator", name, layer);

  bool moves = moves_elements(*op) || passes_through(*op) || reads_metadata(*op);
  bool varying =
      !moves && (is_random(*op) || std::any_of(stack.begin(), stack.end(), [&](const IValue& v) { return transcript_.varies(v); }));
  Emitter emit(transcript_, layer);
  // By itself it looks for the largest class, and would be refused; as what it is taken apart into it does not.
  if (varying && name == "aten::one_hot" && lower(*op, stack, emit)) return;
  judge_.use_allowed(*op, stack, layer, [&](const at::Tensor& tensor) { return transcript_.varies(tensor); });
  refuse_protected_target(*op, stack, layer);
  if (varying && lower(*op, stack, emit)) return;
  // SECURITY: an operator that would read a value out of a varying tensor ends here, whatever the table says.
  if (varying && !gives_tensors(*op))
    throw Failure(BL_INCOMPATIBLE_MODEL,
                  "it reads a value that depends on a record or a trainable parameter: data-dependent control flow", name, layer);
  if (varying && written_argument(*op) >= 0) return run_in_place(*op, stack, views_, emit);

  Stack arguments = stack;
  if (op->schema().is_vararg()) stack.push_back(static_cast<int64_t>(node->inputs().size()));
  op->getOperation(node)(stack);
  for (const IValue& result : stack)
    if (result.isTensor() && result.toTensor().defined() && result.toTensor().has_storage() && !within_storage(result.toTensor()))
      throw Failure(BL_INCOMPATIBLE_MODEL, "its result reaches beyond the memory that it is a view of", name, layer);
  if (varying) transcript_.write(*op, layer, arguments, stack);
  if (!moves) views_.note(*op, arguments, stack);
}

}  // namespace bastionlab
