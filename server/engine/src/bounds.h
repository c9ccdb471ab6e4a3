// Bounds are what a number must lie within before the kernels of a device may see it. A kernel of the CPU throws where an index is
// out of range; one of a GPU stops the device, and with it the run: one bit about a record, for the author of the model.
#pragma once

#include "operations.h"

namespace bastionlab {

// The operation as it is where no kernel of the step's operator asks what a number is, and else one that asks before it.
std::unique_ptr<Operation> within_bounds(std::unique_ptr<Operation> operation, const Step& step, const RewriteContext& context);

}  // namespace bastionlab
