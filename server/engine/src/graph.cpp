#include "graph.h"

#include <algorithm>
#include <numeric>

#include "dtype.h"
#include "failure.h"

namespace bastionlab {
namespace {

bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.strides() == b.strides();
}

bl_tensor_view view_of(const at::Tensor& tensor) {
  return {"",
          abi_dtype(tensor.scalar_type()),
          static_cast<int32_t>(tensor.dim()),
          tensor.sizes().data(),
          tensor.const_data_ptr(),
          tensor.nbytes()};
}

}  // namespace

Graph::Graph(const Tape& tape, const std::vector<Parameter>& parameters, size_t inputs) {
  for (const Parameter& parameter : parameters)
    parameters_.push_back({keep(parameter.name), tensor(parameter.tensor), parameter.trainable ? 1 : 0});
  number_values(tape, parameters, inputs);
  for (const Step& step : tape.steps) put(step);
  order_tensors();
  for (const at::Tensor& tensor : tensors_) views_.push_back(view_of(tensor));
  auto count = [](const auto& list) { return static_cast<int64_t>(list.size()); };
  view_ = {views_.data(), count(views_),    parameters_.data(), count(parameters_),    steps_.data(),
           count(steps_), operands_.data(), count(operands_),   numbers_[tape.output], keep(tape.output_name)};
}

// Inputs, trainable parameters, results: the order says which value is which.
void Graph::number_values(const Tape& tape, const std::vector<Parameter>& parameters, size_t inputs) {
  numbers_.assign(tape.values.size(), kNone);
  std::vector<int64_t> of_parameter;
  int64_t next = static_cast<int64_t>(inputs);
  for (const Parameter& parameter : parameters) of_parameter.push_back(parameter.trainable ? next++ : kNone);
  for (size_t value = 0; value < tape.values.size(); value++) {
    const ValueInfo& info = tape.values[value];
    if (info.origin == Origin::kInput) numbers_[value] = info.index;
    if (info.origin == Origin::kParameter) numbers_[value] = of_parameter.at(info.index);
  }
  for (const Step& step : tape.steps)
    for (ValueId result : step.results) numbers_[result] = next++;
}

void Graph::put(const Step& step) {
  steps_.push_back({keep(step.name), keep(step.op->schema().overload_name()), keep(step.layer),
                    static_cast<int64_t>(step.operands.size()), static_cast<int64_t>(step.results.size())});
  try {
    for (const Operand& operand : step.operands) put(operand);
  } catch (Failure& failure) {
    failure.op = step.name;
    failure.layer = step.layer;
    throw;
  }
}

void Graph::put(const Operand& operand) {
  if (operand.is_value()) return put(BL_VALUE, numbers_[operand.value]);
  if (!operand.is_list()) return put(operand.constant);
  put(BL_LIST, static_cast<int64_t>(operand.list.size()));
  for (const Operand& element : operand.list) put(element);
}

void Graph::put(const c10::IValue& constant) {
  if (constant.isNone() || (constant.isTensor() && !constant.toTensor().defined())) return put(BL_NONE);
  if (constant.isTensor()) return put(BL_TENSOR, tensor(constant.toTensor()));
  if (constant.isBool()) return put(BL_BOOLEAN, constant.toBool() ? 1 : 0);
  if (constant.isInt()) return put(BL_INTEGER, constant.toInt());
  if (constant.isDouble()) return put(BL_REAL, 0, constant.toDouble());
  if (constant.isString()) return put(BL_TEXT, 0, 0, keep(constant.toStringRef()));
  if (constant.isDevice()) return put(BL_DEVICE);
  if (!constant.isList())
    throw Failure(BL_INCOMPATIBLE_MODEL,
                  "an argument is neither a tensor, a number, a text nor a list of them: " + constant.tagKind());
  put(BL_LIST, static_cast<int64_t>(constant.toListRef().size()));
  for (const c10::IValue& element : constant.toListRef()) put(element);
}

void Graph::put(bl_operand_kind kind, int64_t integer, double real, const char* text) {
  operands_.push_back({kind, integer, real, text});
}

// The number of a tensor, in the order in which they are met.
int64_t Graph::tensor(const at::Tensor& tensor) {
  auto [first, last] = at_.equal_range(tensor.const_data_ptr());
  for (auto found = first; found != last && tensor.numel() > 0; ++found)  // what has no elements lies nowhere
    if (same(sources_[found->second], tensor)) return found->second;
  if (abi_dtype(tensor.scalar_type()) == 0)
    throw Failure(BL_INCOMPATIBLE_MODEL,
                  "a tensor of the model has a type that is not taken: " + std::string(toString(tensor.scalar_type())));
  int64_t number = static_cast<int64_t>(sources_.size());
  at_.emplace(tensor.const_data_ptr(), number);
  sources_.push_back(tensor);
  tensors_.push_back(tensor.detach().contiguous());
  return number;
}

// Those of the largest elements first, so that each lies aligned where they follow one another.
void Graph::order_tensors() {
  std::vector<int64_t> order(tensors_.size()), place(tensors_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return tensors_[a].itemsize() > tensors_[b].itemsize(); });
  std::vector<at::Tensor> ordered;
  for (size_t i = 0; i < order.size(); i++) {
    place[order[i]] = static_cast<int64_t>(i);
    ordered.push_back(tensors_[order[i]]);
  }
  tensors_ = std::move(ordered);
  for (bl_graph_parameter& parameter : parameters_) parameter.tensor = place[parameter.tensor];
  for (bl_operand& operand : operands_)
    if (operand.kind == BL_TENSOR) operand.integer = place[operand.integer];
}

}  // namespace bastionlab
