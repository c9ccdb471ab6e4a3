#include "blocks.h"

#include <algorithm>

namespace bastionlab {
namespace {

// A block of b records, run positions each, is a sum of n = b * run terms per coordinate; with the two roundings of the factor its
// error is below (n + 4) u of the block's spread. Blocks of all parameters lie within one another, so errors add up to at most 2 u
// (spread + 1) b (n + 4) (1 + log2(kMostRecords) / 2), and this is what b (n + 4) may be for that to stay below kRoundingShare.
double largest_product(at::ScalarType type) {
  double unit_roundoff = type == at::kDouble ? 0x1p-53 : 0x1p-24;
  return kRoundingShare / (2 * unit_roundoff * (largest_spread(type) + 1) * 3);
}

}  // namespace

double largest_spread(at::ScalarType type) { return type == at::kDouble ? 0x1p10 : 64; }

Blocks blocks_of(int64_t slots, int64_t positions, at::ScalarType type) {
  double largest = largest_product(type);
  auto fits = [&](int64_t records, int64_t run) {
    double terms = static_cast<double>(records) * static_cast<double>(run) + 4;
    return static_cast<double>(records) * terms <= largest;
  };
  Blocks blocks{1, std::min<int64_t>(positions, static_cast<int64_t>(std::min(largest, 0x1p40)) - 4)};
  while (blocks.records < kMostRecords && blocks.records < slots && fits(2 * blocks.records, blocks.run)) blocks.records *= 2;
  return blocks;
}

}  // namespace bastionlab
