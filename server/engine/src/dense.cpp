#include "dense.h"

#include "factors.h"

namespace bastionlab {

at::Tensor Dense::squared_norms() const { return row_squares(flat()); }

at::Tensor Dense::spread() const { return at::zeros({gradients_.size(0)}, at::kDouble); }

void Dense::add_to(int64_t slot, at::Tensor& out) const { out.add_(gradients_[slot].view_as(out)); }

void Dense::accumulate(const at::Tensor& factors, at::Tensor& sum) {
  at::Tensor g = without_zeroed(flat(), factors);  // [B, P]
  sum.view({-1}).addmv_(g.t(), factors.to(g.scalar_type()));
}

std::unique_ptr<Form> Dense::joined(const std::vector<Dense*>& uses) {
  at::Tensor sum = uses[0]->flat().clone();  // [B, P]
  for (size_t i = 1; i < uses.size(); i++) sum.add_(uses[i]->flat());
  return std::make_unique<Dense>(std::move(sum));
}

}  // namespace bastionlab
