// Sum is what one step adds up for one parameter: on the release grid, or in float64 where nothing is private.
#pragma once

#include <optional>

#include "noise.h"

namespace bastionlab {

class Sum {
 public:
  // unit: the width of the grid; nothing for a sum in float64. What is added comes from the same device.
  Sum(at::IntArrayRef shape, std::optional<double> unit, c10::Device device);

  // Adds values that lie one after the other from coordinate `begin` on, each rounded to the grid by itself. May be called by
  // several threads at once for coordinates that they do not share.
  void add(int64_t begin, const at::Tensor& values /* contiguous float32 or float64 */);
  void add(int64_t begin, const double* values, int64_t n);  // on the host
  // Adds to rows of a table.  // index [n], values [n, d] float64
  void add_rows(const at::Tensor& index, const at::Tensor& values);
  // Adds numbers of the grid, or nothing that is not one.  // [numel] int64
  void add_integers(const at::Tensor& integers);

  void clear() { numbers_.zero_(); }
  bool on_grid() const { return unit_.has_value(); }
  double unit() const { return unit_.value_or(1); }
  int64_t size() const { return numbers_.numel(); }
  at::IntArrayRef shape() const { return numbers_.sizes(); }
  at::Tensor& numbers() { return numbers_; }  // int64 in units of the grid, or float64
  const at::Tensor& numbers() const { return numbers_; }
  // The same sum in the host's memory; itself where it lies there.
  Sum on_host() const;
  // out = the sum with noise as numbers, times factor, and the sum is zero again. Of a sum on the grid.
  void release_into(at::Tensor& out, double factor, Noise& noise);
  // out = the sum as numbers, times factor; both on the host.  // contiguous float32 or float64
  void scaled_into(at::Tensor& out, double factor) const;
  // The sum as numbers, on the host.  // [*shape] float64
  at::Tensor values() const;

 private:
  Sum(std::optional<double> unit, at::Tensor numbers) : unit_(unit), numbers_(std::move(numbers)) {}
  at::Tensor in_units(const at::Tensor& values) const;

  std::optional<double> unit_;
  at::Tensor numbers_;
};

}  // namespace bastionlab
