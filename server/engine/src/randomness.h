// What random operators draw from: a generator that begins anew for every record at every random step of the program, from a number
// that the caller made of (step of the run, record). So a record's draws are the same wherever it lies in a pass and whoever lies
// beside it, and one record never shifts another's.
//
// The generator is libtorch's own for the device (mt19937, Philox) and no secret depends on it: a mask is independent of every
// record, which is all that the privacy claim asks of it.
#pragma once

#include "torch.h"

namespace bastionlab {

// place: of the operator in the program.
void seed_generator(c10::Device device, uint64_t seed, uint64_t place);

}  // namespace bastionlab
