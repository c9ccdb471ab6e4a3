#include "factors.h"

namespace bastionlab {
namespace {

at::Tensor as_column(const at::Tensor& factors, const at::Tensor& rows) {
  std::vector<int64_t> shape(rows.dim(), 1);
  shape[0] = rows.size(0);
  return factors.view(shape);
}

}  // namespace

at::Tensor row_squares(const at::Tensor& rows) {
  // PRIVACY: in float64 the squares of any float32 are exact and cannot overflow, so no gradient is large enough to look small.
  return at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, false, at::kDouble).square();
}

at::Tensor without_zeroed(const at::Tensor& rows, const at::Tensor& factors) {
  return rows.masked_fill(as_column(factors, rows).eq(0), 0);
}

at::Tensor scaled(const at::Tensor& rows, const at::Tensor& factors) {
  at::Tensor column = as_column(factors, rows);
  return rows.mul(column.to(rows.scalar_type())).masked_fill_(column.eq(0), 0);
}

}  // namespace bastionlab
