// Unrolling runs the author's program once, on a record of zeros, and leaves the straight line of operators that a record goes
// through.
//
// A record's shape is fixed by the schema, so every branch, loop and size that depends on shapes alone is decided here. What
// depends on the values of a record, a trainable parameter or a random number in any other way than by tensors is refused: the
// operator that would read such a value out of a tensor never runs.
#pragma once

#include "archive.h"
#include "judge.h"
#include "schema.h"
#include "tape.h"

namespace bastionlab {

Tape unroll(const Archive& archive, const Schema& schema, const Judge& judge);  // throws Failure

}  // namespace bastionlab
