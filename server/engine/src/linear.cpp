// y = x W^T + b, and y = x W [+ b]: what is recorded of a use is the input and the output's gradient.
#include "dense.h"
#include "operations.h"
#include "outer.h"

namespace bastionlab {
namespace {

// [B, ..., n] -> [B, 1, T, n]
at::Tensor positions(const at::Tensor& tensor) { return tensor.reshape({tensor.size(0), 1, -1, tensor.size(-1)}); }

class Linear : public Operation {
 public:
  Linear(const Step& step, Operand input, Weight weight, Weight bias, bool transposed)
      : input_(std::move(input)),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        transposed_(transposed),
        result_(step.results.at(0)) {}

  void run(Frame& frame) const override {
    at::Tensor x = in_all_slots(input_, frame);  // [B, ..., in]
    at::Tensor w = weight_.get(frame), b = bias_.get(frame);
    at::Tensor y = at::linear(x, transposed_ ? w.t() : w, b.defined() ? std::make_optional(b) : std::nullopt);  // [B, ..., out]
    if (weight_.trainable() || bias_.trainable())
      frame.record(
          y, [x = x.detach(), w = weight_.parameter, b = bias_.parameter, t = transposed_](const at::Tensor& g, Measured& out) {
            at::Tensor left = positions(g), right = positions(x);
            if (b >= 0) out[b].push_back(std::make_unique<Dense>(left.sum({1, 2})));  // [B, out]
            if (t) std::swap(left, right);
            if (w >= 0) out[w].push_back(make_outer(std::move(left), std::move(right)));
          });
    frame.values[result_] = std::move(y);
  }

 private:
  Operand input_;
  Weight weight_, bias_;
  bool transposed_;  // the weight is [in, out]
  ValueId result_;
};

bool is_one(const Operand& operand) {
  return operand.is_constant() && operand.constant.isScalar() && operand.constant.toScalar().to<double>() == 1;
}

// Operands: what varies, a weight of two dimensions, a bias of one. A bias without a weight to it would gain nothing here.
std::unique_ptr<Operation> make(const Step& step, const Operand& x, const Operand& w, const Operand& b, bool transposed,
                                const RewriteContext& context) {
  if (context.parameter(x) >= 0 || !context.is_weight(w) || !context.is_weight(b)) return nullptr;
  if (context.shape(w).size() != 2 || context.shape(b).size() > 1 || context.shape(x).empty()) return nullptr;
  int64_t out = context.shape(w)[transposed ? 1 : 0];
  if (context.shape(b).size() == 1 && context.shape(b)[0] != out) return nullptr;
  if (b.is_constant() && b.constant.isTensor() && b.constant.toTensor().dim() != 1) return nullptr;
  if (context.parameter(b) >= 0 && context.shape(b).size() != 1) return nullptr;
  return std::make_unique<Linear>(step, x, weight(w, context), weight(b, context), transposed);
}

}  // namespace

std::unique_ptr<Operation> make_linear(const Step& step, const RewriteContext& context) {
  return make(step, step.operands.at(0), step.operands.at(1), step.operands.at(2), false, context);
}

std::unique_ptr<Operation> make_matmul(const Step& step, const RewriteContext& context) {
  if (step.name == "aten::addmm") {
    if (!is_one(step.operands.at(3)) || !is_one(step.operands.at(4))) return nullptr;
    return make(step, step.operands.at(1), step.operands.at(2), step.operands.at(0), true, context);
  }
  return make(step, step.operands.at(0), step.operands.at(1), Operand{}, true, context);
}

}  // namespace bastionlab
