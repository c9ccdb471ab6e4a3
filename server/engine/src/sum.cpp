#include "sum.h"

#include "device.h"
#include "grid.h"

namespace bastionlab {

Sum::Sum(at::IntArrayRef shape, std::optional<double> unit, c10::Device device)
    : Sum(unit, at::zeros(shape, at::device(device).dtype(unit.has_value() ? at::kLong : at::kDouble))) {}

void Sum::add(int64_t begin, const double* values, int64_t n) {
  if (on_grid())
    add_rounded(numbers_.mutable_data_ptr<int64_t>() + begin, values, 1 / unit(), n);
  else
    add_scaled(numbers_.mutable_data_ptr<double>() + begin, values, 1, n);
}

void Sum::add(int64_t begin, const at::Tensor& values) {
  TORCH_CHECK(values.is_contiguous() && begin >= 0 && begin + values.numel() <= size(), "a sum has no such coordinates");
  // Away from the host by libtorch's operators, which round as the loops below do.
  if (!numbers_.device().is_cpu())
    return void(numbers_.view({-1}).narrow(0, begin, values.numel()).add_(in_units(values).view({-1})));
  if (values.scalar_type() == at::kDouble) return add(begin, values.const_data_ptr<double>(), values.numel());
  const float* from = values.const_data_ptr<float>();
  if (on_grid())
    add_rounded(numbers_.mutable_data_ptr<int64_t>() + begin, from, 1 / unit(), values.numel());
  else
    add_scaled(numbers_.mutable_data_ptr<double>() + begin, from, 1, values.numel());
}

void Sum::add_rows(const at::Tensor& index, const at::Tensor& values) {
  numbers_.view({-1, values.size(1)}).index_add_(0, index, in_units(values));
}

// Each number by itself as the sum has them: rounded to the grid, or in float64.
at::Tensor Sum::in_units(const at::Tensor& values) const {
  at::Tensor numbers = values.to(at::kDouble);
  return on_grid() ? numbers.mul(1 / unit()).round_().to(at::kLong) : numbers;
}

Sum Sum::on_host() const { return {unit_, bastionlab::on_host(numbers_)}; }

void Sum::scaled_into(at::Tensor& out, double factor) const {
  at::parallel_for(0, size(), 1 << 16, [&](int64_t begin, int64_t end) {
    auto scale = [&](const auto* from) {
      if (out.scalar_type() == at::kDouble)
        scale_all(out.mutable_data_ptr<double>() + begin, from + begin, unit() * factor, end - begin);
      else
        scale_all(out.mutable_data_ptr<float>() + begin, from + begin, unit() * factor, end - begin);
    };
    if (on_grid())
      scale(numbers_.const_data_ptr<int64_t>());
    else
      scale(numbers_.const_data_ptr<double>());
  });
}

// In one walk over memory, most of what the end of a step costs.
void Sum::release_into(at::Tensor& out, double factor, Noise& noise) {
  at::Tensor numbers = bastionlab::on_host(numbers_);
  auto* from = numbers.mutable_data_ptr<int64_t>();
  // PRIVACY: noise in every coordinate, whether a record touched it or not, and nothing else reads the sum.
  noise.draw(size(), [&](int64_t begin, std::span<const int64_t> drawn) {
    if (out.scalar_type() == at::kDouble)
      release_all(out.mutable_data_ptr<double>() + begin, from + begin, drawn.data(), unit() * factor, drawn.size());
    else
      release_all(out.mutable_data_ptr<float>() + begin, from + begin, drawn.data(), unit() * factor, drawn.size());
  });
  if (!numbers.is_same(numbers_)) clear();
}

at::Tensor Sum::values() const {
  at::Tensor out = at::empty(numbers_.sizes(), at::kDouble);
  on_host().scaled_into(out, 1);
  return out;
}

void Sum::add_integers(const at::Tensor& integers) { numbers_.view({-1}).add_(integers); }

}  // namespace bastionlab
