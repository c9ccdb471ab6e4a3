#pragma once

#include <memory>
#include <vector>

#include "form.h"

namespace bastionlab {

// Outer is what linear maps and convolutions leave: G_b = left_b^T right_b for each of `groups` blocks of the parameter's rows.
//
// The parameter, seen as [groups * m, n], is never written out per record unless that is cheaper than the Gram matrices of its
// factors.
class Outer : public Form {
 public:
  Outer(at::Tensor left /* [B, groups, T, m] */, at::Tensor right /* [B, groups, T, n] */);
  at::Tensor squared_norms() const override;
  at::Tensor spread() const override;
  void add_to(int64_t slot, at::Tensor& out) const override;
  void accumulate(const at::Tensor& factors, Sum& sum) override;

  static std::unique_ptr<Form> joined(const std::vector<Outer*>& uses);
  const at::Tensor& left() const { return left_; }    // [B, groups, T, m]
  const at::Tensor& right() const { return right_; }  // [B, groups, T, n]

 private:
  at::Tensor spread_by_group() const;
  at::Tensor left_, right_;
};

// The cheaper of Outer and Dense, by shapes alone: many positions and a small parameter are better written out.
std::unique_ptr<Form> make_outer(at::Tensor left, at::Tensor right);

}  // namespace bastionlab
