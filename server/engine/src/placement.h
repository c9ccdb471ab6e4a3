// Placement puts what a program holds where its passes are computed. It was judged and tried on the host.
#pragma once

#include <vector>

#include "archive.h"
#include "tape.h"

namespace bastionlab {

// Moves the constants of the tape, the parameters, and what the steps are told of the device that they are on. Each tensor is moved
// once, however many steps use it.
void place_on(c10::Device device, Tape& tape, std::vector<Parameter>& parameters);

}  // namespace bastionlab
