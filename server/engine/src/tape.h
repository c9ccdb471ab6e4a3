// Tape is the program as the engine understands it: a straight line of operators, every argument either a constant or the result of
// an earlier step. Branches, loops, modules, lists and sizes are gone: they depended on shapes alone, or the model was refused.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "torch.h"

namespace bastionlab {

using ValueId = int32_t;
constexpr ValueId kNone = -1;

// One argument of a step: a value, a list holding values (Tensor[] or Tensor?[]), or a constant.
struct Operand {
  ValueId value = kNone;
  std::vector<Operand> list;
  c10::IValue constant;

  bool is_value() const { return value != kNone; }
  bool is_list() const { return !list.empty(); }
  bool is_constant() const { return !is_value() && !is_list(); }
};

struct Step {
  std::shared_ptr<torch::jit::Operator> op;
  std::string name;   // "aten::linear"
  std::string layer;  // "encoder.0.attention"
  std::vector<Operand> operands;
  std::vector<ValueId> results;  // a Tensor[] gives one per element
};

enum class Origin { kInput, kParameter, kStep };

// The tensor that a value is for one record: shape with the batch dimension of one.
struct ValueInfo {
  Origin origin;
  int index;  // of the input or parameter
  std::vector<int64_t> shape;
  at::ScalarType dtype;
};

struct Tape {
  std::vector<ValueInfo> values;
  std::vector<Step> steps;
  std::vector<ValueId> inputs;  // of each input of the schema; kNone where the model does not use it
  ValueId output = kNone;
  std::string output_name;  // "logits" or "output"
};

// Drops the steps that the output does not need.
void drop_unused(Tape& tape);

// What a list is a list of; nothing where the type is no list.
c10::TypePtr element_type(const c10::TypePtr& type);

// The results that an operator left: tensors, and lists of them one after the other.
std::vector<at::Tensor> tensors_of(const torch::jit::Stack& results);

// The operand as an operator takes it, with each value as `value_of` has it.
template <class F>
c10::IValue argument(const Operand& operand, const c10::TypePtr& type, F&& value_of) {
  if (operand.is_value()) return value_of(operand.value);
  if (operand.is_constant()) return operand.constant;
  c10::TypePtr element = element_type(type);
  c10::impl::GenericList out(element);
  for (const Operand& part : operand.list) out.push_back(argument(part, element, value_of));
  return out;
}

// Calls f(ValueId&) for every value among the operands.
template <class F>
void for_each_value(std::vector<Operand>& operands, F&& f) {
  for (Operand& operand : operands) {
    if (operand.is_value()) f(operand.value);
    if (operand.is_list()) for_each_value(operand.list, f);
  }
}

}  // namespace bastionlab
