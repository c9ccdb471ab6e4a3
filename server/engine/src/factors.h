// Small pieces that the forms share: sums of squares in float64, and factors applied so that zero means nothing.
#pragma once

#include "torch.h"

namespace bastionlab {

// The squared norm of each row, in float64.  // [B, n] -> [B]
at::Tensor row_squares(const at::Tensor& rows);

// PRIVACY: rows whose factor is zero become zero. A multiplication would not do: 0 * inf is not zero.  // [B, ...]
at::Tensor without_zeroed(const at::Tensor& rows, const at::Tensor& factors);

// Each row times its factor; zero where the factor is zero.  // [B, ...]
at::Tensor scaled(const at::Tensor& rows, const at::Tensor& factors);

}  // namespace bastionlab
