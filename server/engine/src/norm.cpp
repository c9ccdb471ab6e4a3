// Layers that normalise and then scale and shift: layer norm, group norm, and batch norm with frozen statistics. The gradient of
// the scale is the output's gradient times the normalised input, summed over all but the slots and the scale's own dimensions.
#include "dense.h"
#include "operations.h"

namespace bastionlab {
namespace {

// What is known of a step once it ran: the input as [B, T, ...] and what normalises it.
struct Affine {
  Weight scale, shift;

  bool trainable() const { return scale.trainable() || shift.trainable(); }
  std::optional<at::Tensor> scale_of(const Frame& frame) const { return optional(scale.get(frame)); }
  std::optional<at::Tensor> shift_of(const Frame& frame) const { return optional(shift.get(frame)); }

  // gradient and normalised are [B, *over, *parameter] or have the parameter's dimension in the middle; `over` are summed away.
  void measure(const at::Tensor& gradient, const at::Tensor& normalised, at::IntArrayRef over, Measured& out) const {
    if (shift.trainable()) out[shift.parameter].push_back(std::make_unique<Dense>(gradient.sum(over)));
    if (scale.trainable()) out[scale.parameter].push_back(std::make_unique<Dense>(gradient.mul(normalised).sum(over)));
  }

 private:
  static std::optional<at::Tensor> optional(const at::Tensor& tensor) {
    return tensor.defined() ? std::make_optional(tensor) : std::nullopt;
  }
};

// The scale and shift among a step's operands; nothing where they are computed values.
std::optional<Affine> affine(const Step& step, size_t scale, size_t shift, const RewriteContext& context) {
  const Operand &w = step.operands.at(scale), &b = step.operands.at(shift);
  if (!context.is_weight(w) || !context.is_weight(b) || context.parameter(step.operands.at(0)) >= 0) return std::nullopt;
  return Affine{weight(w, context), weight(b, context)};
}

class LayerNorm : public Operation {
 public:
  LayerNorm(const Step& step, Affine affine)
      : affine_(std::move(affine)),
        input_(step.operands.at(0)),
        shape_(step.operands.at(1).constant.toIntVector()),
        eps_(step.operands.at(4).constant.toDouble()),
        result_(step.results.at(0)) {}

  void run(Frame& frame) const override {
    at::Tensor x = in_all_slots(input_, frame);  // [B, ..., *shape]
    auto [y, mean, rstd] = at::native_layer_norm(x, shape_, affine_.scale_of(frame), affine_.shift_of(frame), eps_);
    if (affine_.trainable())
      frame.record(y, [x = x.detach(), mean = mean.detach(), rstd = rstd.detach(), a = affine_, shape = shape_](const at::Tensor& g,
                                                                                                                Measured& out) {
        std::vector<int64_t> folded{x.size(0), -1};  // [B, T, *shape]
        folded.insert(folded.end(), shape.begin(), shape.end());
        a.measure(g.reshape(folded), x.sub(mean).mul_(rstd).reshape(folded), {1}, out);
      });
    frame.values[result_] = std::move(y);
  }

 private:
  Affine affine_;
  Operand input_;
  std::vector<int64_t> shape_;
  double eps_;
  ValueId result_;
};

// Group norm and frozen batch norm see [B, N, C, ...]; slots and N are folded while they run, for neither looks across its first
// dimension.
class ByChannel : public Operation {
 public:
  ByChannel(const Step& step, Affine affine)
      : affine_(std::move(affine)), input_(step.operands.at(0)), result_(step.results.at(0)) {}

  void run(Frame& frame) const override {
    at::Tensor x = in_all_slots(input_, frame);  // [B, N, C, ...]
    std::vector<int64_t> shape = x.sizes().vec();
    x = x.reshape({shape[0] * shape[1], shape[2], -1});  // [B N, C, L]
    auto [y, normalise] = forward(x, frame);
    if (affine_.trainable())
      frame.record(
          y, [x = x.detach(), normalise = std::move(normalise), a = affine_, slots = shape[0]](const at::Tensor& g, Measured& out) {
            std::vector<int64_t> folded{slots, -1, x.size(1), x.size(2)};  // [B, N, C, L]
            a.measure(g.reshape(folded), normalise(x).reshape(folded), {1, 3}, out);
          });
    frame.values[result_] = y.view(shape);
  }

 protected:
  using Normalise = std::function<at::Tensor(const at::Tensor&)>;
  virtual std::pair<at::Tensor, Normalise> forward(const at::Tensor& x, const Frame& frame) const = 0;
  Affine affine_;

 private:
  Operand input_;
  ValueId result_;
};

class GroupNorm : public ByChannel {
 public:
  GroupNorm(const Step& step, Affine affine)
      : ByChannel(step, std::move(affine)),
        groups_(step.operands.at(1).constant.toInt()),
        eps_(step.operands.at(4).constant.toDouble()) {}

 protected:
  std::pair<at::Tensor, Normalise> forward(const at::Tensor& x, const Frame& frame) const override {
    auto [y, mean, rstd] = at::native_group_norm(x.contiguous(), affine_.scale_of(frame), affine_.shift_of(frame), x.size(0),
                                                 x.size(1), x.size(2), groups_, eps_);
    return {y, [mean = mean.detach().unsqueeze(-1), rstd = rstd.detach().unsqueeze(-1), groups = groups_](const at::Tensor& input) {
              return input.reshape({input.size(0), groups, -1}).sub(mean).mul_(rstd);  // [B N, groups, C/groups L]
            }};
  }

 private:
  int64_t groups_;
  double eps_;
};

class FrozenBatchNorm : public ByChannel {
 public:
  FrozenBatchNorm(const Step& step, Affine affine)
      : ByChannel(step, std::move(affine)),
        mean_(step.operands.at(3).constant.toTensor()),
        variance_(step.operands.at(4).constant.toTensor()),
        eps_(step.operands.at(7).constant.toDouble()) {}

 protected:
  std::pair<at::Tensor, Normalise> forward(const at::Tensor& x, const Frame& frame) const override {
    at::Tensor y =
        at::batch_norm(x, affine_.scale_of(frame), affine_.shift_of(frame), mean_, variance_, /*training=*/false, 0, eps_, false);
    return {y, [mean = mean_.view({1, -1, 1}), rstd = variance_.add(eps_).rsqrt_().view({1, -1, 1})](const at::Tensor& input) {
              return input.sub(mean).mul_(rstd);
            }};
  }

 private:
  at::Tensor mean_, variance_;
  double eps_;
};

bool is_tensor(const Operand& operand) {
  return operand.is_constant() && operand.constant.isTensor() && operand.constant.toTensor().defined();
}

}  // namespace

std::unique_ptr<Operation> make_layer_norm(const Step& step, const RewriteContext& context) {
  auto a = affine(step, 2, 3, context);
  return a ? std::make_unique<LayerNorm>(step, *a) : nullptr;
}

std::unique_ptr<Operation> make_group_norm(const Step& step, const RewriteContext& context) {
  auto a = affine(step, 2, 3, context);
  return a ? std::make_unique<GroupNorm>(step, *a) : nullptr;
}

std::unique_ptr<Operation> make_batch_norm(const Step& step, const RewriteContext& context) {
  auto a = affine(step, 1, 2, context);
  return a && is_tensor(step.operands.at(3)) && is_tensor(step.operands.at(4)) ? std::make_unique<FrozenBatchNorm>(step, *a)
                                                                               : nullptr;
}

}  // namespace bastionlab
