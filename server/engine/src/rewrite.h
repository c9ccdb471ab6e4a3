// Rewriting turns a tape into operations for many records at once, and sees to it that every use of a trainable parameter is
// measured.
#pragma once

#include "operations.h"

namespace bastionlab {

struct PlannedStep {
  std::unique_ptr<Operation> operation;
  std::string name, layer;        // of the author's operator
  std::vector<ValueId> last_use;  // values that no later step needs
  bool one_at_a_time = false;     // runs one record after the other
};

struct Plan {
  std::vector<PlannedStep> steps;
  std::vector<std::vector<std::string>> measurements;  // per trainable parameter, one for each use: "linear", "expand", ...
};

// device: of the tape's constants and of the passes.
Plan rewrite(Tape& tape, const std::vector<Parameter>& parameters, c10::Device device);

}  // namespace bastionlab
