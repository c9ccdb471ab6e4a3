#include "signature.h"

#include "failure.h"

namespace bastionlab {
namespace {

using c10::IValue;

at::Tensor first_tensor(const IValue& value) {
  if (value.isTensor()) return value.toTensor();
  if (value.isTuple()) {
    for (const IValue& element : value.toTupleRef().elements())
      if (at::Tensor found = first_tensor(element); found.defined()) return found;
  } else if (value.isList()) {
    for (const IValue& element : value.toListRef())
      if (at::Tensor found = first_tensor(element); found.defined()) return found;
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict())
      if (at::Tensor found = first_tensor(entry.value()); found.defined()) return found;
  }
  return {};
}

}  // namespace

std::pair<at::Tensor, std::string> output_of(const IValue& value) {
  if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict())
      if (entry.key().isString() && entry.key().toStringRef() == "logits" && entry.value().isTensor())
        return {entry.value().toTensor(), "logits"};
  }
  if (value.isTuple() && value.toTupleRef().type()->schema() != nullptr) {
    const auto& fields = value.toTupleRef().type()->schema()->arguments();
    for (size_t i = 0; i < fields.size(); i++)
      if (fields[i].name() == "logits" && value.toTupleRef().elements()[i].isTensor())
        return {value.toTupleRef().elements()[i].toTensor(), "logits"};
  }
  return {first_tensor(value), "output"};
}

std::vector<size_t> input_positions(const c10::FunctionSchema& forward, const Schema& schema) {
  std::vector<size_t> out;
  size_t n = forward.arguments().size() - 1;
  for (size_t i = 0; i < schema.inputs.size(); i++) {
    size_t at = i;
    if (schema.named_inputs) {
      auto index = forward.argumentIndexWithName(schema.inputs[i].name);
      if (!index || *index < 1) throw Failure(BL_FORWARD_FAILED, "forward has no argument named \"" + schema.inputs[i].name + "\"");
      at = *index - 1;
    }
    if (at >= n)
      throw Failure(BL_FORWARD_FAILED,
                    "forward takes " + std::to_string(n) + " inputs, a record has " + std::to_string(schema.inputs.size()));
    out.push_back(at);
  }
  return out;
}

}  // namespace bastionlab
