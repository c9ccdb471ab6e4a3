// Release is how a step's sum leaves: what a record may contribute, on which grid, and with how much noise. docs/release.md has the
// proofs.
#pragma once

#include <optional>

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

struct Release {
  // Throws Failure(BL_INVALID_ARGUMENT) for what no plan says, and for a grid too coarse or too fine for these parameters.
  Release(const bl_training& training, const std::vector<at::Tensor>& parameters);

  bool clips = false;          // else nothing is private: no clipping, no grid, no noise
  bool exact = false;          // a record's contribution is checked on the grid, not only bounded
  std::optional<double> unit;  // of the grid: C 2^-k
  int64_t largest_norm = 0;    // 2^k: C in units of the grid
  double gradient_norm = 0;    // what gradients are clipped to: C, or C sqrt(0.95) where losses are released beside them
  double loss_bound = 0;       // B; 0: no losses
  double loss_scale = 0;       // C sqrt(0.05) / B: what a loss counts beside the gradient
  double noise_stddev = 0;     // in units of the grid

  // Losses as they enter the sum, clamped to [0, B]; zero where not finite.  // [B] float64 -> [B] float64
  at::Tensor scaled_losses(const at::Tensor& losses) const;
};

}  // namespace bastionlab
