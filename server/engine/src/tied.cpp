#include "tied.h"

#include "dense.h"
#include "outer.h"
#include "rows.h"

namespace bastionlab {
namespace {

template <class F>
const F* find(const std::vector<std::unique_ptr<Form>>& uses) {
  for (const auto& use : uses)
    if (auto* form = dynamic_cast<const F*>(use.get())) return form;
  return nullptr;
}

// <E, left^T right>: row i of the product is the sum over t of left[t, i] right[t].
at::Tensor inner(const Rows& rows, const Outer& outer) {
  at::Tensor left = outer.left().select(1, 0), right = outer.right().select(1, 0);  // [B, T, V], [B, T, d]
  at::Tensor index = rows.index().unsqueeze(1).expand({-1, left.size(1), -1});      // [B, T, S]
  at::Tensor weights = left.gather(2, index).to(at::kDouble);                       // [B, T, S]
  at::Tensor products = at::bmm(right.to(at::kDouble), rows.gradients().to(at::kDouble).transpose(1, 2));
  return weights.mul_(products).sum({1, 2});
}

at::Tensor inner(const Rows& rows, const Dense& dense) {
  const at::Tensor& g = rows.gradients();                                                    // [B, S, d]
  at::Tensor table = dense.gradients().reshape({g.size(0), -1, g.size(2)});                  // [B, V, d]
  at::Tensor met = table.gather(1, rows.index().unsqueeze(-1).expand({-1, -1, g.size(2)}));  // [B, S, d]
  return met.to(at::kDouble).mul_(g.to(at::kDouble)).sum({1, 2});
}

}  // namespace

std::optional<at::Tensor> tied_table_squares(const std::vector<std::unique_ptr<Form>>& uses) {
  const Rows* rows = find<Rows>(uses);
  const Outer* outer = find<Outer>(uses);
  const Dense* dense = find<Dense>(uses);
  if (uses.size() != 2 || rows == nullptr || (outer == nullptr) == (dense == nullptr)) return std::nullopt;
  if (outer != nullptr && outer->left().size(1) != 1) return std::nullopt;
  at::Tensor product = outer != nullptr ? inner(*rows, *outer) : inner(*rows, *dense);
  at::Tensor a = uses[0]->squared_norms(), b = uses[1]->squared_norms();
  // PRIVACY: the two may cancel; what rounding took off is below the number of terms times 2^-53 of what the parts sum to.
  at::Tensor parts = rows->spread().mul(outer != nullptr ? outer->spread() : b.sqrt());
  double terms =
      static_cast<double>(rows->gradients().size(2) + rows->index().size(1) * (outer != nullptr ? outer->left().size(2) : 1));
  return a.add(b).add_(product, 2).clamp_min_(0).add_(parts, terms * 0x1p-51).add_(a.add(b), 0x1p-50);
}

}  // namespace bastionlab
