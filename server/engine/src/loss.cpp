#include "loss.h"

#include <string_view>

#include "failure.h"

namespace bastionlab {
namespace {

constexpr int64_t kIgnored = -100;  // a token that has no label

std::vector<int64_t> without_ones(const std::vector<int64_t>& shape) {
  std::vector<int64_t> out;
  for (int64_t size : shape)
    if (size != 1) out.push_back(size);
  return out;
}

std::string text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); i++) out += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

int64_t count(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return n;
}

[[noreturn]] void mismatch(const std::string& rule, const std::vector<int64_t>& output, const TensorSpec& label) {
  throw Failure(BL_LOSS_MISMATCH, rule + "; the output is " + text(output) + ", a label is " + text(label.shape));
}

Losses cross_entropy(const at::Tensor& output, const at::Tensor& label) {
  Labels labels = read_labels(output, label);
  at::Tensor index = labels.target.masked_fill(labels.is_class.logical_not(), 0).unsqueeze(-1);  // [B, T, 1]
  at::Tensor losses = labels.logits.log_softmax(-1).gather(-1, index).squeeze(-1).neg();         // [B, T]
  losses = at::where(labels.is_class, losses, at::zeros({}, losses.options()));
  at::Tensor tokens = labels.is_class.sum(1).clamp_min(1).to(losses.scalar_type());  // [B]
  return {losses.sum(1).div(tokens), labels.counts};
}

}  // namespace

// PRIVACY: libtorch's own cross entropy throws on a label that is no class; here it takes its record out of the sum, without a
// word.
Labels read_labels(const at::Tensor& output, const at::Tensor& label) {
  int64_t slots = output.size(0), classes = output.size(-1);
  Labels out;
  out.logits = output.reshape({slots, -1, classes});                     // [B, T, K]
  out.target = label.reshape({slots, -1}).to(at::kLong);                 // [B, T]
  out.is_class = out.target.ge(0).logical_and(out.target.lt(classes));   // [B, T]
  out.counts = out.is_class.logical_or(out.target.eq(kIgnored)).all(1);  // [B]
  return out;
}

LossKind read_loss(const char* name) {
  std::string_view loss = name == nullptr ? "" : name;
  if (loss == "cross_entropy") return LossKind::kCrossEntropy;
  if (loss == "bce_with_logits") return LossKind::kBinaryCrossEntropy;
  if (loss == "l2" || loss == "mse") return LossKind::kL2;
  if (loss == "l1") return LossKind::kL1;
  throw Failure(BL_INVALID_ARGUMENT,
                "unknown loss \"" + std::string(loss) + "\"; there are cross_entropy, bce_with_logits, l2 (mse) and l1");
}

void check_loss(LossKind kind, const std::vector<int64_t>& output, at::ScalarType output_dtype, const TensorSpec& label) {
  if (!at::isFloatingType(output_dtype)) throw Failure(BL_LOSS_MISMATCH, "the output must be a floating-point tensor");
  if (count(output) == 0) throw Failure(BL_LOSS_MISMATCH, "the output is empty: " + text(output));
  if (kind == LossKind::kCrossEntropy) {
    if (!at::isIntegralType(label.dtype, /*includeBool=*/false))
      throw Failure(BL_LOSS_MISMATCH, "cross_entropy needs labels of an integer type");
    bool per_record = output.size() == 2 && output[0] == 1 && count(label.shape) == 1;
    bool per_token = output.size() == 3 && output[0] == 1 && without_ones({output[1]}) == without_ones(label.shape);
    if (!per_record && !per_token)
      mismatch("cross_entropy needs an output of [1, classes] and one label, or [1, tokens, classes] and as many labels as tokens",
               output, label);
    return;
  }
  if (without_ones(output) != without_ones(label.shape)) mismatch("output and label must have the same shape", output, label);
}

Losses compute_loss(LossKind kind, const at::Tensor& output, const at::Tensor& label) {
  if (kind == LossKind::kCrossEntropy) return cross_entropy(output, label);
  int64_t slots = output.size(0);
  at::Tensor y = output.reshape({slots, -1});                               // [B, n]
  at::Tensor target = label.reshape({slots, -1}).to(output.scalar_type());  // [B, n]
  at::Tensor losses;
  switch (kind) {
    case LossKind::kBinaryCrossEntropy:
      losses = at::binary_cross_entropy_with_logits(y, target, {}, {}, at::Reduction::None);
      break;
    case LossKind::kL1:
      losses = at::l1_loss(y, target, at::Reduction::None);
      break;
    default:
      losses = at::mse_loss(y, target, at::Reduction::None);
      break;
  }
  return {losses.mean(1), at::ones({slots}, label.options().dtype(at::kBool))};
}

}  // namespace bastionlab
