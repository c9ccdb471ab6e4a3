#pragma once

#include <memory>
#include <vector>

#include "form.h"

namespace bastionlab {

// Dense holds the per-record gradients themselves.
class Dense : public Form {
 public:
  explicit Dense(at::Tensor gradients) : gradients_(std::move(gradients)) {}  // [B, *parameter]
  at::Tensor squared_norms() const override;
  at::Tensor spread() const override;
  void add_to(int64_t slot, at::Tensor& out) const override;
  void accumulate(const at::Tensor& factors, Sum& sum) override;

  static std::unique_ptr<Form> joined(const std::vector<Dense*>& uses);
  const at::Tensor& gradients() const { return gradients_; }  // [B, ...]

 private:
  void accumulate_elsewhere(const at::Tensor& factors, Sum& sum) const;
  at::Tensor flat() const { return gradients_.reshape({gradients_.size(0), -1}); }
  at::Tensor gradients_;
};

}  // namespace bastionlab
