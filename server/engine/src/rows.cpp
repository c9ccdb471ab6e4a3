#include "rows.h"

#include "factors.h"

namespace bastionlab {

Rows::Rows(at::Tensor index, at::Tensor gradients) : index_(std::move(index)), gradients_(std::move(gradients)) {}

// A row looked up twice has the sum of both gradients: equal indices are brought together and summed before anything is squared or
// rounded. The sums have room for T rows whatever the indices are, so that no shape here depends on a record.
const Rows::Grouped& Rows::grouped() const {
  if (grouped_) return *grouped_;
  int64_t slots = index_.size(0), positions = index_.size(1), width = gradients_.size(2);
  auto [sorted, order] = index_.sort(1);       // [B, T]
  at::Tensor is_new = at::zeros_like(sorted);  // [B, T]
  if (positions > 1) is_new.slice(1, 1).copy_(sorted.slice(1, 1).ne(sorted.slice(1, 0, -1)));
  at::Tensor place = is_new.cumsum(1);  // [B, T]
  at::Tensor index = at::zeros_like(sorted).scatter_(1, place, sorted);
  place = place.add(at::arange(slots, index_.options()).mul_(positions).unsqueeze(1)).flatten();  // [B T]
  at::Tensor rows = gradients_.to(at::kDouble).gather(1, order.unsqueeze(2).expand({slots, positions, width}));
  at::Tensor sums = at::zeros({slots * positions, width}, rows.options()).index_add_(0, place, rows.flatten(0, 1));
  grouped_ = {std::move(index), sums.view({slots, positions, width})};
  return *grouped_;
}

at::Tensor Rows::squared_norms() const {
  // PRIVACY: as for Outer; a sum of T terms in float64 is off by less than T 2^-53 of their spread.
  double slack = static_cast<double>(index_.size(1)) * 0x1p-52;
  return row_squares(grouped().sums.flatten(1)).sqrt_().add_(spread(), slack).square_();
}

at::Tensor Rows::spread() const { return at::linalg_vector_norm(gradients_, 2, at::IntArrayRef{2}, false, at::kDouble).sum(1); }

void Rows::add_to(int64_t slot, at::Tensor& out) const { out.index_add_(0, index_[slot], gradients_[slot].to(at::kDouble)); }

// In float64 up to the rounding to the grid.
void Rows::accumulate(const at::Tensor& factors, Sum& sum) {
  sum.add_rows(grouped().index.flatten(), scaled(grouped().sums, factors).flatten(0, 1));
}

std::unique_ptr<Form> Rows::joined(const std::vector<Rows*>& uses) {
  std::vector<at::Tensor> index, gradients;
  for (Rows* use : uses) {
    index.push_back(use->index_);
    gradients.push_back(use->gradients_);
  }
  return std::make_unique<Rows>(at::cat(index, 1), at::cat(gradients, 1));  // more positions
}

}  // namespace bastionlab
