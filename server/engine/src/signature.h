// How a record becomes the arguments of forward, and which tensor of its result is the output.
#pragma once

#include "schema.h"

namespace bastionlab {

// Which argument of forward (self not counted) each input becomes; throws Failure(BL_FORWARD_FAILED).
std::vector<size_t> input_positions(const c10::FunctionSchema& forward, const Schema& schema);

// The output is a tensor, else the field "logits", else the first tensor; with the name it goes by. Undefined where there is none.
std::pair<at::Tensor, std::string> output_of(const c10::IValue& value);

}  // namespace bastionlab
