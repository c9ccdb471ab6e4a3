// The normal distribution's tail in more precision than any double: for the few random numbers so close to a rounding's boundary
// that double precision cannot tell on which side they lie. No libtorch.
#pragma once

#include <cstdint>

namespace bastionlab {

// Its probabilities are right to 2^-95 of themselves; a test holds it to 2^-92.

// Whether a one-sided tail probability of (high + low 2^-64) 2^-64 is below that of `z`, 0 <= z <= 14: whether its normal number
// lies beyond z. z = (twice_boundary / 2) / stddev.
bool lies_beyond(uint64_t high, uint64_t low, int64_t twice_boundary, double stddev);

}  // namespace bastionlab
