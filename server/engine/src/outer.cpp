#include "outer.h"

#include <algorithm>
#include <limits>

#include "blocks.h"
#include "dense.h"
#include "factors.h"

namespace bastionlab {
namespace {

// PRIVACY: the clipped sum scales `left` by C over the norm, in float32. Beside a row this large what remains of `left` may fall
// below the smallest float, part of a sum that cancels vanishes, and the rest is many times C. Such a record counts as not finite.
constexpr double kLargestRow = 1e15;
// PRIVACY: a row's squares below 1e-308 vanish, and with them what a norm sees of numbers below 1e-154. In float64 the other factor
// could make up for that, so both are held to this; in float32 there are no such numbers.
constexpr double kLargestDouble = 1e100;

// Numbers of the sum that are worked on at once. On the host, with the product's and the sum's own they stay in a core's cache;
// elsewhere they fill a device.
constexpr int64_t kTile = 1 << 16, kLargeTile = 1 << 24;

// Some rows of one group's block of the parameter, from the records of all blocks.
void add_tile(const at::Tensor& left /* [B, T, rows] */, const at::Tensor& right /* [B, T, n] */, const Blocks& blocks,
              int64_t begin, Sum& sum) {
  int64_t slots = left.size(0), positions = left.size(1);
  at::Tensor part = at::empty({left.size(2), right.size(2)}, left.options());  // [rows, n]
  at::Tensor total;                                                            // the same in float64, where there are several runs
  for (int64_t slot = 0; slot < slots; slot += blocks.records) {
    int64_t records = std::min(blocks.records, slots - slot);
    if (total.defined()) total.zero_();
    for (int64_t t = 0; t < positions; t += blocks.run) {
      int64_t run = std::min(blocks.run, positions - t);
      // PRIVACY: in the parameter's own type only what belongs to this block is summed.
      at::Tensor l = left.narrow(0, slot, records).narrow(1, t, run).flatten(0, 1);   // [records run, rows]
      at::Tensor r = right.narrow(0, slot, records).narrow(1, t, run).flatten(0, 1);  // [records run, n]
      at::mm_out(part, l.t(), r);
      if (blocks.run >= positions) break;
      total = total.defined() ? total.add_(part) : part.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true);
    }
    sum.add(begin, total.defined() ? total : part);
  }
}

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
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (right_.scalar_type() == at::kDouble) {
    l.masked_fill_(l.gt(kLargestDouble), infinity);
    r.masked_fill_(r.gt(kLargestDouble), infinity);
  } else {
    r.masked_fill_(r.gt(kLargestRow), infinity);
  }
  return l.mul(r).sum(2);
}

void Outer::add_to(int64_t slot, at::Tensor& out) const {
  at::Tensor blocks = out.view({left_.size(1), left_.size(3), right_.size(3)});  // [groups, m, n]
  blocks.baddbmm_(left_[slot].transpose(1, 2).to(at::kDouble), right_[slot].to(at::kDouble));
}

void Outer::accumulate(const at::Tensor& factors, Sum& sum) {
  at::Tensor left = scaled(left_, factors), right = without_zeroed(right_, factors);
  int64_t groups = left.size(1), m = left.size(3), n = right.size(3);
  if (left.size(2) == 0) return;  // a product over no positions is zero, and nothing would be written
  Blocks blocks = blocks_of(left.size(0), left.size(2), left.scalar_type());
  bool here = left.device().is_cpu();
  int64_t rows = std::clamp<int64_t>((here ? kTile : kLargeTile) / std::max<int64_t>(n, 1), 1, std::max<int64_t>(m, 1)),
          tiles = (m + rows - 1) / rows;
  // A device's work is given to it by one thread.
  at::parallel_for(0, groups * tiles, here ? 1 : groups * tiles, [&](int64_t first, int64_t last) {
    torch::NoGradGuard no_grad;  // of this thread
    for (int64_t i = first; i < last; i++) {
      int64_t group = i / tiles, row = i % tiles * rows;
      at::Tensor some = left.select(1, group).narrow(2, row, std::min(rows, m - row));
      add_tile(some, right.select(1, group), blocks, (group * m + row) * n, sum);
    }
  });
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
