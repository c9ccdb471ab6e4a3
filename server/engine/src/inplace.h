#pragma once

#include "views.h"

namespace bastionlab {

// Runs an operator that changes its first argument in place, and writes it down as one that makes a new tensor. The stack holds the
// arguments before and the result after.
void run_in_place(const torch::jit::Operator& op, torch::jit::Stack& stack, Views& views, Emitter& emit);  // throws Failure

}  // namespace bastionlab
