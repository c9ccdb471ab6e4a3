#pragma once

#include <optional>

#include "frame.h"

namespace bastionlab {

// The squared norms of a parameter's gradient where it is an embedding's table and another layer's weight at once, without writing
// the sum out: |E + G|^2 = |E|^2 + 2 <E, G> + |G|^2, and E is zero but for the rows that were looked up. Nothing for other pairs of
// uses.  // [B]
std::optional<at::Tensor> tied_table_squares(const std::vector<std::unique_ptr<Form>>& uses);

}  // namespace bastionlab
