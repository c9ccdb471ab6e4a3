// Scaled dot-product attention. libtorch's kernel for it has no batching rule and would be run slot by slot; but it already keeps
// the entries of its first dimension apart, so the slots are folded into that.
#include "operations.h"
#include "randomness.h"

namespace bastionlab {
namespace {

class Attention : public Operation {
 public:
  Attention(const Step& step, size_t rank, uint64_t place)
      : query_(step.operands.at(0)),
        key_(step.operands.at(1)),
        value_(step.operands.at(2)),
        mask_(step.operands.at(3)),
        dropout_(step.operands.at(4).constant.toDouble()),
        causal_(step.operands.at(5).constant.toBool()),
        gqa_(step.operands.size() > 7 && step.operands[7].constant.toBool()),
        rank_(rank),
        place_(place),
        result_(step.results.at(0)) {
    if (!step.operands.at(6).constant.isNone()) scale_ = step.operands[6].constant.toDouble();
  }

  void run(Frame& frame) const override {
    at::Tensor q = in_all_slots(query_, frame), k = in_all_slots(key_, frame),
               v = in_all_slots(value_, frame);  // [B, N, ..., T, d]
    std::optional<at::Tensor> mask;
    if (mask_.is_value() || mask_.constant.isTensor()) mask = fold(with_rank(in_all_slots(mask_, frame), q.size(1)));
    at::Tensor y = dropout_ == 0 ? at::scaled_dot_product_attention(fold(q), fold(k), fold(v), mask, 0, causal_, scale_, gqa_)
                                 : with_dropout(frame, fold(q), fold(k), fold(v), mask);
    std::vector<int64_t> shape = y.sizes().vec();
    shape[0] /= frame.slots;
    shape.insert(shape.begin(), frame.slots);
    frame.values[result_] = y.reshape(shape);
  }

 private:
  // libtorch's way without a fused kernel, which is what it takes on the CPU where there is dropout; the masks are drawn here.
  at::Tensor with_dropout(const Frame& frame, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const std::optional<at::Tensor>& mask) const {
    std::vector<int64_t> one = q.sizes().vec();  // [N, ..., T, S] of one record
    one[0] /= frame.slots;
    one.back() = k.size(-2);
    std::vector<at::Tensor> kept;
    for (uint64_t seed : frame.seeds) {
      seed_generator(frame.device, seed, place_);
      kept.push_back(at::empty(one, q.options()).bernoulli_(1 - dropout_).ne(0));
    }
    return std::get<0>(
        at::_scaled_dot_product_attention_math(q, k, v, mask, dropout_, causal_, at::cat(kept), scale_, gqa_));  // [B N, ..., T, d]
  }

  static at::Tensor fold(const at::Tensor& tensor) { return tensor.flatten(0, 1); }

  // A mask may leave out dimensions in front, and have one entry for all N.
  at::Tensor with_rank(at::Tensor mask, int64_t n) const {
    while (mask.dim() < static_cast<int64_t>(rank_) + 1) mask = mask.unsqueeze(1);
    std::vector<int64_t> shape = mask.sizes().vec();
    shape[1] = n;
    return mask.expand(shape);
  }

  Operand query_, key_, value_, mask_;
  double dropout_;
  bool causal_, gqa_;
  std::optional<double> scale_;
  size_t rank_;
  uint64_t place_;
  ValueId result_;
};

}  // namespace

std::unique_ptr<Operation> make_attention(const Step& step, const RewriteContext& context) {
  for (size_t i = 0; i < 4; i++)
    if (context.parameter(step.operands.at(i)) >= 0) return nullptr;
  std::vector<int64_t> q = context.shape(step.operands[0]), k = context.shape(step.operands[1]),
                       v = context.shape(step.operands[2]);
  bool one_shape = q.size() >= 3 && k.size() == q.size() && v.size() == q.size() && k[0] == q[0] && v[0] == q[0];
  if (!one_shape || context.shape(step.operands[3]).size() > q.size()) return nullptr;
  return std::make_unique<Attention>(step, q.size(), context.place);
}

}  // namespace bastionlab
