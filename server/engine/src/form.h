// Form is the per-record gradients of one parameter through one of its uses, G_b for b < B, not necessarily written out.
//
// Invariant: norms and clipped sum are computed from the same recorded tensors; no second backward pass is ever made.
#pragma once

#include "sum.h"

namespace bastionlab {

class Form {
 public:
  virtual ~Form() = default;
  // |G_b|^2 in float64, never below the true value by more than its slack covers; not finite where G_b is not.  // [B]
  virtual at::Tensor squared_norms() const = 0;
  // What the parts of G_b would sum to if none of them cancelled, where G_b is summed from parts after its norm was taken; zero
  // where the norm was taken of the very numbers that are released.  // [B] float64
  virtual at::Tensor spread() const = 0;
  // out += G_slot, in the parameter's shape; out is float64.
  virtual void add_to(int64_t slot, at::Tensor& out) const = 0;
  // sum += sum over b of factors_b * G_b; exactly nothing for a record whose factor is zero, whatever was recorded of it.
  // PRIVACY: on the grid, with blocks.h's bound on what rounding can make of one record.
  virtual void accumulate(const at::Tensor& factors /* [B] float64 */, Sum& sum) = 0;
};

}  // namespace bastionlab
