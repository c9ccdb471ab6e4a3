// Metric gives one number between 0 and 1 for a record: what a test sums up.
#pragma once

#include "loss.h"

namespace bastionlab {

struct Metric {
  bool is_accuracy;
  LossKind loss;  // of accuracy, that which the program trains with: it says what the output means
  double bound;   // a loss is clamped to [0, bound] and divided by it
};

// `trained`: the program's loss. Throws Failure(BL_INVALID_ARGUMENT).
Metric read_metric(const char* name, double bound, LossKind trained);

// Of the one record of a pass: 0 where its label is no class or its output is not finite.
double compute_metric(const Metric& metric, const at::Tensor& output /* [1, 1, ...] */, const at::Tensor& label /* [1, ...] */);

}  // namespace bastionlab
