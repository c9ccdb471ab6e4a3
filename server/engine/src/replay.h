// Replaying builds a tape from a graph that somebody else unrolled, and believes nothing of it: every operator is judged as if it
// came from the author, and tried on one record of zeros, which is where shapes and types come from.
#pragma once

#include "archive.h"
#include "judge.h"
#include "schema.h"
#include "tape.h"

namespace bastionlab {

struct Replayed {
  std::vector<Parameter> parameters;
  Tape tape;
};

// The tensors' data must outlive the result; it is only read.
Replayed replay(const bl_graph& graph, const Schema& schema, const Judge& judge);  // throws Failure

}  // namespace bastionlab
