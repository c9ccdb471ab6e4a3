// Loss gives one number per record; the engine differentiates their sum, so no record's loss scales another's.
#pragma once

#include <string>

#include "schema.h"
#include "torch.h"

namespace bastionlab {

enum class LossKind { kCrossEntropy, kBinaryCrossEntropy, kL2, kL1 };

LossKind read_loss(const char* name);  // throws Failure(BL_INVALID_ARGUMENT)

// Whether an output of that shape (with its batch dimension of one) and a label fit the loss; throws Failure(BL_LOSS_MISMATCH).
void check_loss(LossKind kind, const std::vector<int64_t>& output, at::ScalarType output_dtype, const TensorSpec& label);

struct Losses {
  at::Tensor per_record;  // [B]
  at::Tensor counts;      // [B] bool: false where the label is none of the output's classes
};
Losses compute_loss(LossKind kind, const at::Tensor& output /* [B, 1, ...] */, const at::Tensor& label /* [B, ...] */);

// The classes of an output and their labels.
struct Labels {
  at::Tensor logits;    // [B, T, K]
  at::Tensor target;    // [B, T]
  at::Tensor is_class;  // [B, T] bool: neither a token without a label nor out of range
  at::Tensor counts;    // [B] bool: nothing is out of range
};
Labels read_labels(const at::Tensor& output /* [B, 1, ...] */, const at::Tensor& label /* [B, ...] */);

}  // namespace bastionlab
