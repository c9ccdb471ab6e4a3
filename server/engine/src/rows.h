#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "form.h"

namespace bastionlab {

// Rows is what an embedding leaves: G_b is zero but for the rows that record b looked up, where the output's gradients add up.
class Rows : public Form {
 public:
  Rows(at::Tensor index /* [B, T] int64 */, at::Tensor gradients /* [B, T, d] */);
  at::Tensor squared_norms() const override;
  at::Tensor spread() const override;
  void add_to(int64_t slot, at::Tensor& out) const override;
  void accumulate(const at::Tensor& factors, Sum& sum) override;

  static std::unique_ptr<Form> joined(const std::vector<Rows*>& uses);
  const at::Tensor& index() const { return index_; }          // [B, T]
  const at::Tensor& gradients() const { return gradients_; }  // [B, T, d]

 private:
  // Equal indices of a record brought together.
  struct Grouped {
    at::Tensor index;  // [B, T] int64; zero where there are fewer rows than positions
    at::Tensor sums;   // [B, T, d] float64; zero there
  };
  const Grouped& grouped() const;

  at::Tensor index_, gradients_;
  mutable std::optional<Grouped> grouped_;  // once for the norms and the sum
};

}  // namespace bastionlab
