#include "tape.h"

namespace bastionlab {

c10::TypePtr element_type(const c10::TypePtr& type) {
  c10::TypePtr list = type->kind() == c10::TypeKind::OptionalType ? type->expectRef<c10::OptionalType>().getElementType() : type;
  return list->kind() == c10::TypeKind::ListType ? list->expectRef<c10::ListType>().getElementType() : nullptr;
}

std::vector<at::Tensor> tensors_of(const torch::jit::Stack& results) {
  std::vector<at::Tensor> out;
  for (const c10::IValue& result : results) {
    if (result.isTensor()) {
      out.push_back(result.toTensor());
    } else {
      for (const c10::IValue& element : result.toListRef()) out.push_back(element.toTensor());
    }
  }
  return out;
}

void drop_unused(Tape& tape) {
  std::vector<bool> needed(tape.values.size(), false);
  needed[tape.output] = true;
  std::vector<Step> kept;
  for (auto step = tape.steps.rbegin(); step != tape.steps.rend(); ++step) {
    bool any = false;
    for (ValueId result : step->results) any = any || needed[result];
    if (!any) continue;
    for_each_value(step->operands, [&](ValueId& value) { needed[value] = true; });
    kept.push_back(std::move(*step));
  }
  tape.steps.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  for (ValueId& input : tape.inputs)
    if (input != kNone && !needed[input]) input = kNone;
}

}  // namespace bastionlab
