// The operations a step may become, and how a tape is rewritten into them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "archive.h"
#include "frame.h"

namespace bastionlab {

// Which trainable parameter a value is, or -1, and other questions of a rewrite.
struct RewriteContext {
  const Tape& tape;
  uint64_t place = 0;          // of the step that is rewritten
  std::vector<int> trainable;  // parameter index -> index among the trainable, -1 for frozen

  int parameter(const Operand& operand) const {
    if (!operand.is_value() || tape.values[operand.value].origin != Origin::kParameter) return -1;
    return trainable[tape.values[operand.value].index];
  }
  // A trainable parameter or a constant: what a book-keeping operator takes for a weight.
  bool is_weight(const Operand& operand) const {
    return parameter(operand) >= 0 || (operand.is_constant() && (operand.constant.isNone() || operand.constant.isTensor()));
  }
  std::vector<int64_t> shape(const Operand& operand) const {
    if (operand.is_value()) return tape.values[operand.value].shape;
    return operand.constant.isTensor() ? operand.constant.toTensor().sizes().vec() : std::vector<int64_t>{};
  }
};

// A weight of a book-keeping operator: a trainable parameter, a constant, or nothing.
struct Weight {
  int parameter = -1;  // among the trainable
  at::Tensor constant;

  at::Tensor get(const Frame& frame) const { return parameter >= 0 ? frame.parameters[parameter] : constant; }
  bool trainable() const { return parameter >= 0; }
};
Weight weight(const Operand& operand, const RewriteContext& context);

// Each gives nothing where the step has a form it does not know; then the step takes the general way.
std::unique_ptr<Operation> make_linear(const Step& step, const RewriteContext& context);
std::unique_ptr<Operation> make_matmul(const Step& step, const RewriteContext& context);
std::unique_ptr<Operation> make_conv(const Step& step, const RewriteContext& context);
std::unique_ptr<Operation> make_embedding(const Step& step, const RewriteContext& context);
std::unique_ptr<Operation> make_layer_norm(const Step& step, const RewriteContext& context);
std::unique_ptr<Operation> make_group_norm(const Step& step, const RewriteContext& context);
std::unique_ptr<Operation> make_batch_norm(const Step& step, const RewriteContext& context);
std::unique_ptr<Operation> make_attention(const Step& step, const RewriteContext& context);

// The general ways: a parameter of its own for every record, and any operator under vmap.
std::unique_ptr<Operation> make_expand(int parameter, ValueId result);
std::unique_ptr<Operation> make_vmap(const Step& step);
// One record after the other; place: of the step in the tape.
std::unique_ptr<Operation> make_by_record(const Step& step, uint64_t place);

}  // namespace bastionlab
