// A pass computes all its slots at once: forward, loss, backward, and what each record would do to each parameter.
#pragma once

#include "frame.h"
#include "norms.h"
#include "program.h"

namespace bastionlab {

struct Measurement {
  Measured measured;
  at::Tensor losses;  // [B] float64
  at::Tensor counts;  // [B] bool: the slot holds a record with a label that the loss knows
};

// What the planned steps make of the records: the output, the frame's only value that is left.  // [B, 1, ...]
at::Tensor forward(const Schema& schema, const Tape& tape, const Plan& plan, Frame& frame, const uint8_t* records,
                   const std::vector<int64_t>& slots);

// Throws StepFailed or whatever libtorch throws; on records, the text must not leave the engine.
Measurement measure(const Program& program, const std::vector<at::Tensor>& parameters, const uint8_t* records,
                    const std::vector<int64_t>& slots, const std::vector<uint64_t>& seeds);

// sums += what was measured, each record by its factor. Empties the measurement.
void accumulate(Measurement& measurement, const at::Tensor& factors, std::vector<Sum>& sums);

}  // namespace bastionlab
