#include "release.h"

#include <cmath>

#include "blocks.h"
#include "failure.h"
#include "gaussian.h"
#include "grid.h"

namespace bastionlab {
namespace {

constexpr int64_t kMaxPassSize = 4096;
constexpr int32_t kMostExponent = 40;
// The share of C^2 that a released loss takes.
constexpr double kLossShare = 0.05;
// PRIVACY: what the grid may add to one record's contribution, in clipping norms: kMostForms roundings of every coordinate.
constexpr double kGridShare = 0x1p-14;

bool positive(double x) { return std::isfinite(x) && x > 0; }

void require(bool ok, const char* what) {
  if (!ok) throw Failure(BL_INVALID_ARGUMENT, what);
}

double coordinates(const std::vector<at::Tensor>& parameters) {
  double n = 1;  // the loss
  for (const at::Tensor& parameter : parameters) n += static_cast<double>(parameter.numel());
  return n;
}

double largest_spread_of(const std::vector<at::Tensor>& parameters) {
  double largest = 1;
  for (const at::Tensor& parameter : parameters) largest = std::max(largest, largest_spread(parameter.scalar_type()));
  return largest;
}

}  // namespace

Release::Release(const bl_training& t, const std::vector<at::Tensor>& parameters) {
  require(t.pass_size >= 1 && t.pass_size <= kMaxPassSize, "pass_size must be between 1 and 4096");
  require(positive(t.normalizer), "normalizer must be positive");
  require(t.loss_bound == 0 || positive(t.loss_bound), "loss_bound must not be negative");
  loss_bound = t.loss_bound;
  loss_scale = loss_bound > 0 ? 1 / loss_bound : 0;
  if (t.is_private == 0) return;
  // PRIVACY: a private run without clipping, grid or noise does not exist.
  require(positive(t.clipping_norm), "clipping_norm must be positive");
  clips = true;
  exact = t.release == BL_EXACT;
  gradient_norm = t.clipping_norm * (loss_bound > 0 ? std::sqrt(1 - kLossShare) : 1);
  loss_scale *= t.clipping_norm * std::sqrt(kLossShare);
#ifdef BL_TESTING
  if (t.release == BL_UNROUNDED) return;
#endif
  require(t.release == BL_EXACT || t.release == BL_CERTIFIED, "release must be exact or certified");
  require(!exact || t.pass_size == 1, "an exact release takes passes of one record");
  require(t.grid_exponent >= 1 && t.grid_exponent <= kMostExponent, "grid_exponent must be between 1 and 40");
  largest_norm = int64_t{1} << t.grid_exponent;
  unit = t.clipping_norm / static_cast<double>(largest_norm);
  require(kMostForms * std::sqrt(coordinates(parameters)) / static_cast<double>(largest_norm) <= kGridShare,
          "the grid is too coarse for so many parameters");
  require(static_cast<double>(t.pass_size) * largest_spread_of(parameters) * static_cast<double>(largest_norm) <= kLargestRounded,
          "the grid is too fine for so large a pass");
  noise_stddev = t.noise_stddev / *unit;
#ifdef BL_TESTING
  require(std::isfinite(noise_stddev) && noise_stddev >= 0, "noise_stddev must not be negative");
#else
  require(positive(noise_stddev), "noise_stddev must be positive");
#endif
  require(noise_stddev <= kLargestDeviation, "the noise is too large for so fine a grid");
}

at::Tensor Release::scaled_losses(const at::Tensor& losses) const {
  return losses.clamp(0, loss_bound).mul_(loss_scale).nan_to_num_(0, 0, 0);
}

}  // namespace bastionlab
