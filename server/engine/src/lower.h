#pragma once

#include "emitter.h"

namespace bastionlab {

// Takes apart operators that libtorch computes in one piece, or knows only in its own interpreter, into those that can be measured.
// True where it did; the stack then holds the results.
bool lower(const torch::jit::Operator& op, torch::jit::Stack& stack, Emitter& emit);

// The tensor with one place of a dimension replaced. libtorch's select_scatter has a batching rule whose gradient is too large by
// the dimension's size; its slice_scatter is right.
at::Tensor select_scatter(const at::Tensor& base, const at::Tensor& now, int64_t dim, int64_t index, Emitter& emit);

// Recurrent layers and cells, as the linear maps they are made of.
bool lower_recurrent(const torch::jit::Operator& op, torch::jit::Stack& stack, Emitter& emit);

}  // namespace bastionlab
