// What the plain loops of grid.cpp and gaussian.cpp share. No libtorch.
#pragma once

#include <bit>
#include <cstdint>

// One version of a loop for each width of the vector units, chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define BL_VECTOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BL_VECTOR
#endif
// Part of such a loop.
#define BL_INLINE inline __attribute__((always_inline))

namespace bastionlab {

// At 1.5 * 2^52 neighbouring doubles are 1 apart: adding it rounds to the nearest integer, which then stands in the lowest bits.
constexpr double kToInteger = 0x1.8p52;

// x rounded to the nearest integer, |x| <= 2^51, by what every vector unit has.
BL_INLINE int64_t rounded(double x) { return std::bit_cast<int64_t>(x + kToInteger) - std::bit_cast<int64_t>(kToInteger); }

}  // namespace bastionlab
