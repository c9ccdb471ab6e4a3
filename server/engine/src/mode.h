// A program comes in training mode, as it is trained. A test runs it in evaluation mode.
#pragma once

#include "tape.h"

namespace bastionlab {

// The tape with every dropout, that within attention included, as identity. It cannot tell a layer's dropout from one that the
// author wrote to go on in evaluation mode, so that stops too. What else draws random numbers (rrelu, rand) goes on.
Tape in_evaluation_mode(Tape tape);

}  // namespace bastionlab
