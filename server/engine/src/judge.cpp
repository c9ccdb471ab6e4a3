#include "judge.h"

#include <algorithm>
#include <set>

#include "failure.h"

namespace bastionlab {
namespace {

using c10::IValue;
using torch::jit::Operator;
using torch::jit::Stack;

[[noreturn]] void refuse(const Operator& op, const std::string& layer, const std::string& reason) {
  throw Failure(BL_INCOMPATIBLE_MODEL, reason, op.schema().name(), layer);
}

// The argument of that name, or None.
IValue argument(const Operator& op, const Stack& arguments, const std::string& name) {
  auto index = op.schema().argumentIndexWithName(name);
  return index && static_cast<size_t>(*index) < arguments.size() ? arguments[*index] : IValue();
}

void judge_batch_norm(const Operator& op, const Stack& arguments, const std::string& layer) {
  if (!argument(op, arguments, "training").toBool()) return;
  refuse(op, layer, kBatchNormReason);
}

void judge_instance_norm(const Operator& op, const Stack& arguments, const std::string& layer) {
  if (argument(op, arguments, "use_input_stats").toBool() && argument(op, arguments, "running_mean").isTensor())
    refuse(op, layer,
           "InstanceNorm in training mode with running statistics changes the model's buffers; use track_running_stats=False");
}

void judge_embedding(const Operator& op, const Stack& arguments, const std::string& layer) {
  if (argument(op, arguments, "scale_grad_by_freq").toBool())
    refuse(op, layer, "scale_grad_by_freq depends on all records of a batch; use torch.nn.Embedding without it");
}

// SECURITY: the shape of x[mask] depends on what the record holds.
void judge_index(const Operator& op, const Stack& arguments, const std::string& layer, const Judge::Varies& varies) {
  for (const IValue& index : argument(op, arguments, "indices").toList().vec()) {
    if (!index.isTensor() || !index.toTensor().defined() || !varies(index.toTensor())) continue;
    auto type = index.toTensor().scalar_type();
    if (type == at::kBool || type == at::kByte)
      refuse(op, layer,
             "indexing by a boolean mask has a result whose shape depends on the record; use torch.where or masked_fill");
  }
}

// SECURITY: nonzero, masked_select, unique, repeat_interleave by a tensor: how much they give depends on the values. (Of index it
// is only so by a mask, see above.)
void judge_shape(const Operator& op, const Stack& arguments, const std::string& layer, const Judge::Varies& varies) {
  static const std::set<std::string> composite = {"aten::argwhere", "aten::bincount", "aten::nonzero_numpy",
                                                  "aten::unique_consecutive"};
  const std::string& name = op.schema().name();
  auto tags = op.getTags();
  bool depends = composite.contains(name) ||
                 (op.isC10Op() && std::find(tags.begin(), tags.end(), at::Tag::dynamic_output_shape) != tags.end());
  auto refuse_varying = [&](const IValue& value) {
    if (value.isTensor() && value.toTensor().defined() && varies(value.toTensor()))
      refuse(op, layer, "the shape of its result depends on what the record holds");
  };
  if (name == "aten::repeat_interleave") return refuse_varying(argument(op, arguments, "repeats"));
  if (depends && name != "aten::index") std::for_each(arguments.begin(), arguments.end(), refuse_varying);
}

// SECURITY: one_hot without num_classes makes as many columns as the record's largest class.
void judge_one_hot(const Operator& op, const Stack& arguments, const std::string& layer) {
  if (argument(op, arguments, "num_classes").toInt() < 0)
    refuse(op, layer, "one_hot without num_classes has a result whose shape depends on the record; give num_classes");
}

// SECURITY: a processor traps on the least integer divided by -1, and the process would end for a record that holds them.
void judge_division(const Operator& op, const Stack& arguments, const std::string& layer, const Judge::Varies& varies) {
  IValue mode = argument(op, arguments, "rounding_mode");
  if (!mode.isString() || mode.toStringRef() != "trunc") return;
  auto depends = [&](const IValue& value) { return value.isTensor() && value.toTensor().defined() && varies(value.toTensor()); };
  if (depends(argument(op, arguments, "self")) || depends(argument(op, arguments, "other")))
    refuse(op, layer,
           "a quotient of integers that is rounded towards zero may trap; use rounding_mode=\"floor\", or torch.trunc of the "
           "quotient");
}

// SECURITY: libtorch's batching rule lays the records one after the other and adds an offset to the indices unchecked: an index
// beyond a record would fill the next record's.
void judge_index_fill(const Operator& op, const Stack& arguments, const std::string& layer, const Judge::Varies& varies) {
  IValue index = argument(op, arguments, "index");
  if (index.isTensor() && varies(index.toTensor()))
    refuse(op, layer, "an index taken from the record is not checked against the record's own bounds; use scatter or torch.where");
}

// SECURITY: with a scale that does not fit the sizes the source index may overflow, and the kernel then reads what lies beside a
// record.
void judge_resampling(const Operator& op, const Stack& arguments, const std::string& layer) {
  for (const char* scale : {"scales", "scales_d", "scales_h", "scales_w"})
    if (!argument(op, arguments, scale).isNone())
      refuse(op, layer, "a scale beside the output's size is not checked against it; call torch.nn.functional.interpolate");
}

// SECURITY: data types, layouts and memory formats are integers to the interpreter, and libtorch looks them up in tables without
// asking how long these are: what is none reads beside the table, or ends the process.
void judge_enumerations(const Operator& op, const Stack& arguments, const std::string& layer) {
  const auto& formal = op.schema().arguments();
  for (size_t i = 0; i < formal.size() && i < arguments.size(); i++) {
    if (!arguments[i].isInt()) continue;
    int64_t n = arguments[i].toInt();
    c10::TypePtr type = formal[i].real_type();
    if (type->kind() == c10::TypeKind::OptionalType) type = type->expectRef<c10::OptionalType>().getElementType();
    auto refuse_beyond = [&](c10::TypeKind kind, int64_t count, const char* what) {
      if (type->kind() == kind && (n < 0 || n >= count))
        refuse(op, layer, "the number of a " + std::string(what) + " that there is not");
    };
    refuse_beyond(c10::TypeKind::ScalarTypeType, static_cast<int64_t>(at::ScalarType::Undefined), "data type");
    refuse_beyond(c10::TypeKind::LayoutType, static_cast<int64_t>(at::Layout::NumOptions), "layout");
    refuse_beyond(c10::TypeKind::MemoryFormatType, static_cast<int64_t>(at::MemoryFormat::NumOptions), "memory format");
  }
}

// SECURITY: the lengths of packed sequences are read through a raw pointer, and decide shapes.
void judge_recurrent(const Operator& op, const std::string& layer) {
  if (op.schema().overload_name() == "data")
    refuse(op, layer, "packed sequences have shapes that depend on the record; pad the sequences and pass the tensor itself");
}

// SECURITY: from the second on, a polygamma of a negative number takes as many turns as the number is large; and the gradient of
// one is the next.
void judge_polygamma(const Operator& op, const Stack& arguments, const std::string& layer) {
  if (argument(op, arguments, "n").toInt() > 0)
    refuse(op, layer, "how long it or its gradient takes depends on what the record holds; use digamma");
}

}  // namespace

const char* const kBatchNormReason =
    "BatchNorm in training mode mixes the records of a batch; use GroupNorm instead (for example torch.nn.GroupNorm(min(32, "
    "channels), "
    "channels)), or freeze its statistics with .eval()";

Judge::Judge(const char* const* allowed, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (allowed[i] != nullptr) allowed_.insert(allowed[i]);
}

void Judge::operator_allowed(const std::string& name, const std::string& layer) const {
  if (allowed_.contains(name)) return;
  throw Failure(BL_INCOMPATIBLE_MODEL, "the operator is not in the table of what may be trained privately", name, layer);
}

void Judge::use_allowed(const Operator& op, const Stack& arguments, const std::string& layer, const Varies& varies) const {
  const std::string& name = op.schema().name();
  if (name == "aten::one_hot") judge_one_hot(op, arguments, layer);
  judge_enumerations(op, arguments, layer);
  judge_shape(op, arguments, layer, varies);
  if (name == "aten::batch_norm") judge_batch_norm(op, arguments, layer);
  if (name == "aten::instance_norm") judge_instance_norm(op, arguments, layer);
  if (name == "aten::embedding") judge_embedding(op, arguments, layer);
  if (name == "aten::index") judge_index(op, arguments, layer, varies);
  if (name.rfind("aten::upsample_", 0) == 0 || name.rfind("aten::_upsample_", 0) == 0) judge_resampling(op, arguments, layer);
  if (name == "aten::lstm" || name == "aten::gru" || name == "aten::rnn_tanh" || name == "aten::rnn_relu")
    judge_recurrent(op, layer);
  if (name == "aten::polygamma" || name == "aten::polygamma_" || name == "aten::special_polygamma")
    judge_polygamma(op, arguments, layer);
  if (name == "aten::div" || name == "aten::div_" || name == "aten::divide" || name == "aten::divide_")
    judge_division(op, arguments, layer, varies);
  if (name == "aten::index_fill" || name == "aten::index_fill_") judge_index_fill(op, arguments, layer, varies);
}

}  // namespace bastionlab
