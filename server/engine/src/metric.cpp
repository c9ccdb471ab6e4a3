#include "metric.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "failure.h"

namespace bastionlab {
namespace {

// The part of the labels that the output agrees with: of classes the largest, of two the side of zero.
Losses accuracy(LossKind loss, const at::Tensor& output, const at::Tensor& label) {
  int64_t slots = output.size(0);
  if (loss == LossKind::kBinaryCrossEntropy) {
    at::Tensor agrees = output.reshape({slots, -1}).gt(0).eq(label.reshape({slots, -1}).to(at::kDouble).gt(0.5));  // [B, n]
    return {agrees.to(at::kDouble).mean(1), at::ones({slots}, label.options().dtype(at::kBool))};
  }
  Labels labels = read_labels(output, label);
  at::Tensor chosen = labels.logits.argmax(-1);                                               // [B, T]
  at::Tensor agrees = chosen.eq(labels.target).logical_and(labels.is_class).to(at::kDouble);  // [B, T]
  return {agrees.sum(1).div(labels.is_class.sum(1).clamp_min(1)), labels.counts};
}

}  // namespace

Metric read_metric(const char* name, double bound, LossKind trained) {
  if (name != nullptr && std::string_view(name) == "accuracy") {
    if (trained != LossKind::kCrossEntropy && trained != LossKind::kBinaryCrossEntropy)
      throw Failure(BL_INVALID_ARGUMENT, "accuracy needs a model that is trained with cross_entropy or bce_with_logits");
    return {true, trained, 1};
  }
  if (!std::isfinite(bound) || bound <= 0) throw Failure(BL_INVALID_ARGUMENT, "the bound of a loss must be positive");
  return {false, read_loss(name), bound};
}

double compute_metric(const Metric& metric, const at::Tensor& output, const at::Tensor& label) {
  if (!output.isfinite().all().item<bool>()) return 0;
  Losses found = metric.is_accuracy ? accuracy(metric.loss, output, label) : compute_loss(metric.loss, output, label);
  double value = found.per_record.item().toDouble() / metric.bound;
  if (!found.counts.item<bool>() || !std::isfinite(value)) return 0;
  return std::clamp(value, 0.0, 1.0);
}

}  // namespace bastionlab
