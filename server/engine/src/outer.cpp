#include "outer.h"

#include <limits>

#include "dense.h"
#include "factors.h"

namespace bastionlab {
namespace {

// PRIVACY: the clipped sum scales `left` by C over the norm, in float32. Beside a row this large what remains of `left` may fall
// below the smallest float, part of a sum that cancels vanishes, and the rest is many times C. Such a record counts as not finite.
constexpr double kLargestRow = 1e26;

}  // namespace

Outer::Outer(at::Tensor left, at::Tensor right) : left_(std::move(left)), right_(std::move(right)) {}

at::Tensor Outer::squared_norms() const {
  int64_t slots = left_.size(0), positions = left_.size(2);
  if (positions == 1) return spread_by_group().square().sum(1);                                  // |l r^T| = |l| |r|
  at::Tensor l = left_.to(at::kDouble).flatten(0, 1), r = right_.to(at::kDouble).flatten(0, 1);  // [B groups, T, .]
  // PRIVACY: float64, because terms that cancel in float32 would let a large gradient pass for a small one.
  at::Tensor gram = at::bmm(l, l.transpose(1, 2)).mul_(at::bmm(r, r.transpose(1, 2)));  // [B groups, T, T]
  // PRIVACY: what rounding took off in float64 is put back, so that large parts that cancel to the last bit still count. With the
  // products of two rows summed in m and n terms and T^2 of them summed, the error is below (m + n + T^2) 2^-53 of the spread's
  // square; it is doubled.
  double slack = static_cast<double>(left_.size(3) + right_.size(3) + positions * positions) * 0x1p-52;
  return gram.view({slots, -1}).sum(1).clamp_min(0).add_(spread_by_group().square().sum(1), slack);
}

at::Tensor Outer::spread() const { return spread_by_group().square().sum(1).sqrt(); }

// [B, groups]
at::Tensor Outer::spread_by_group() const {
  at::Tensor l = at::linalg_vector_norm(left_, 2, at::IntArrayRef{3}, false, at::kDouble);   // [B, groups, T]
  at::Tensor r = at::linalg_vector_norm(right_, 2, at::IntArrayRef{3}, false, at::kDouble);  // [B, groups, T]
  if (right_.scalar_type() != at::kDouble) r.masked_fill_(r.gt(kLargestRow), std::numeric_limits<double>::infinity());
  return l.mul(r).sum(2);
}

void Outer::add_to(int64_t slot, at::Tensor& out) const {
  at::Tensor blocks = out.view({left_.size(1), left_.size(3), right_.size(3)});  // [groups, m, n]
  blocks.baddbmm_(left_[slot].transpose(1, 2).to(at::kDouble), right_[slot].to(at::kDouble));
}

void Outer::accumulate(const at::Tensor& factors, at::Tensor& sum) {
  at::Tensor left = scaled(left_, factors), right = without_zeroed(right_, factors);
  at::Tensor blocks = sum.view({left.size(1), left.size(3), right.size(3)});  // [groups, m, n]
  for (int64_t group = 0; group < blocks.size(0); group++) {
    at::Tensor block = blocks[group];
    block.addmm_(left.select(1, group).flatten(0, 1).t(), right.select(1, group).flatten(0, 1));  // [m, B T] [B T, n]
  }
}

std::unique_ptr<Form> Outer::joined(const std::vector<Outer*>& uses) {
  std::vector<at::Tensor> left, right;
  for (Outer* use : uses) {
    if (use->left_.size(1) != uses[0]->left_.size(1)) return nullptr;  // one kernel in convolutions of different groups
    left.push_back(use->left_);
    right.push_back(use->right_);
  }
  return make_outer(at::cat(left, 2), at::cat(right, 2));  // more positions
}

// Per record, the Gram matrices cost T^2 (m + n) multiplications in float64 and keep T (m + n) numbers until the factors are known;
// a gradient written out costs about as much as ten of those multiplications for each of its m n numbers, and keeps these instead.
std::unique_ptr<Form> make_outer(at::Tensor left, at::Tensor right) {
  double t = left.size(2), m = left.size(3), n = right.size(3);
  bool write_out = t > 1 && t * t * (m + n) > 10 * m * n && m * n <= 4 * t * (m + n);
  if (!write_out) return std::make_unique<Outer>(std::move(left), std::move(right));
  at::Tensor gradients = at::matmul(left.transpose(2, 3), right);  // [B, groups, m, n]
  return std::make_unique<Dense>(std::move(gradients));
}

}  // namespace bastionlab
