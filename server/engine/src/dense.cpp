#include "dense.h"

#include <algorithm>

#include "blocks.h"
#include "factors.h"
#include "grid.h"

namespace bastionlab {
namespace {

constexpr int64_t kTile = 2048;
constexpr int64_t kLargeTile = 1 << 20;

// out += sum over some b of factors_b * rows[b, begin : begin + n]
template <class Scalar>
void add_weighted(const at::Tensor& rows, int64_t first, int64_t last, const at::Tensor& factors, int64_t begin, int64_t n,
                  double* out) {
  const double* factor = factors.const_data_ptr<double>();
  for (int64_t b = first; b < last; b++) {
    // PRIVACY: a record that contributes nothing is not read: 0 * inf is not zero.
    if (factor[b] != 0) add_scaled(out, rows.const_data_ptr<Scalar>() + b * rows.size(1) + begin, factor[b], n);
  }
}

}  // namespace

at::Tensor Dense::squared_norms() const { return row_squares(flat()); }

at::Tensor Dense::spread() const { return at::zeros({gradients_.size(0)}, gradients_.options().dtype(at::kDouble)); }

void Dense::add_to(int64_t slot, at::Tensor& out) const { out.add_(gradients_[slot].view_as(out)); }

// The same away from the host, where a loop over numbers is one operator.
void Dense::accumulate_elsewhere(const at::Tensor& factors, Sum& sum) const {
  at::Tensor g = flat();  // [B, P]
  for (int64_t begin = 0; begin < g.size(1); begin += kLargeTile) {
    at::Tensor tile = g.narrow(1, begin, std::min(kLargeTile, g.size(1) - begin));
    for (int64_t slot = 0; slot < g.size(0); slot += kMostRecords) {
      int64_t n = std::min(kMostRecords, g.size(0) - slot);
      sum.add(begin, scaled(tile.narrow(0, slot, n).to(at::kDouble), factors.narrow(0, slot, n)).sum(0));
    }
  }
}

// In float64 up to the rounding to the grid, a block of records and some coordinates at a time.
void Dense::accumulate(const at::Tensor& factors, Sum& sum) {
  if (!gradients_.device().is_cpu()) return accumulate_elsewhere(factors, sum);
  at::Tensor g = flat().contiguous();  // [B, P]
  int64_t tiles = (g.size(1) + kTile - 1) / kTile;
  at::parallel_for(0, tiles, 1, [&](int64_t first, int64_t last) {
    double total[kTile];
    for (int64_t tile = first; tile < last; tile++) {
      int64_t begin = tile * kTile, n = std::min(kTile, g.size(1) - begin);
      for (int64_t slot = 0; slot < g.size(0); slot += kMostRecords) {
        int64_t end = std::min(slot + kMostRecords, g.size(0));
        std::fill_n(total, n, 0);
        if (g.scalar_type() == at::kDouble)
          add_weighted<double>(g, slot, end, factors, begin, n, total);
        else
          add_weighted<float>(g, slot, end, factors, begin, n, total);
        sum.add(begin, total, n);
      }
    }
  });
}

std::unique_ptr<Form> Dense::joined(const std::vector<Dense*>& uses) {
  at::Tensor sum = uses[0]->flat().clone();  // [B, P]
  for (size_t i = 1; i < uses.size(); i++) sum.add_(uses[i]->flat());
  return std::make_unique<Dense>(std::move(sum));
}

}  // namespace bastionlab
