#pragma once

#include "emitter.h"

namespace bastionlab {

// Takes apart operators that libtorch computes in one piece, or knows only in its own interpreter, into those that can be measured. True
// where it did; the stack then holds the results.
bool lower(const torch::jit::Operator& op, torch::jit::Stack& stack, Emitter& emit);

// Recurrent layers and cells, as the linear maps they are made of.
bool lower_recurrent(const torch::jit::Operator& op, torch::jit::Stack& stack, Emitter& emit);

}  // namespace bastionlab
