// Integers that are distributed like a rounded normal number, exactly, from uniform bits. No libtorch.
//
// A word of 64 bits is a sign and the first 63 bits m of a one-sided tail probability, m 2^-64 <= p < (m + 1) 2^-64. Nearly always
// that is enough to say to which integer stddev * z(p) rounds. Where it is not, 64 more bits of p are drawn and the rounding's
// boundary is compared with p in 113 bits. So each integer is as probable as if the string of bits were endless, but for 2 stddev
// 2^-95 of itself, and nothing of a double's lattice shows. (docs/release.md)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bastionlab {

constexpr size_t kNormalBlock = 1024;
constexpr double kLargestDeviation = 0x1p46;

// out = round(stddev * z) for n <= kNormalBlock words, apart from those whose index is appended to `open`: for them
// rounded_normal has the answer.
void rounded_normals(const uint64_t* words, double stddev, int64_t* out, size_t n, std::vector<uint32_t>& open);

// |z| of one word in double precision, as it is before it is rounded.
double absolute_normal(uint64_t word);

// The rounded number of one word that has `more` bits.
int64_t rounded_normal(uint64_t word, uint64_t more, double stddev);

}  // namespace bastionlab
