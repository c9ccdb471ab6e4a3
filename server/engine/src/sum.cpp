#include "sum.h"

#include "grid.h"

namespace bastionlab {

Sum::Sum(at::IntArrayRef shape, std::optional<double> unit)
    : unit_(unit), numbers_(at::zeros(shape, unit.has_value() ? at::kLong : at::kDouble)) {}

void Sum::add(int64_t begin, const double* values, int64_t n) {
  if (on_grid())
    add_rounded(numbers_.mutable_data_ptr<int64_t>() + begin, values, 1 / unit(), n);
  else
    add_scaled(numbers_.mutable_data_ptr<double>() + begin, values, 1, n);
}

void Sum::add(int64_t begin, const at::Tensor& values) {
  TORCH_CHECK(values.is_contiguous() && begin >= 0 && begin + values.numel() <= size(), "a sum has no such coordinates");
  if (values.scalar_type() == at::kDouble) return add(begin, values.const_data_ptr<double>(), values.numel());
  const float* from = values.const_data_ptr<float>();
  if (on_grid())
    add_rounded(numbers_.mutable_data_ptr<int64_t>() + begin, from, 1 / unit(), values.numel());
  else
    add_scaled(numbers_.mutable_data_ptr<double>() + begin, from, 1, values.numel());
}

void Sum::add_rows(const at::Tensor& index, const at::Tensor& values) {
  at::Tensor table = numbers_.view({-1, values.size(1)});
  if (on_grid())
    table.index_add_(0, index, values.mul(1 / unit()).round_().to(at::kLong));
  else
    table.index_add_(0, index, values);
}

void Sum::add_integers(const at::Tensor& integers) { numbers_.view({-1}).add_(integers); }

}  // namespace bastionlab
