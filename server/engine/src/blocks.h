// Blocks says in what portions a product over a pass is summed, by shapes alone.
//
// The clipped sum of a linear map is one product over all positions of all slots. In floating point its rounding depends on all
// that is summed together, so that one record would move what rounding makes of the others. Therefore only the records of one block
// are summed in the parameter's own type, and a block's result is rounded to the grid, where sums are exact: a record can touch the
// rounding of its own block and of no other. Within a block, products of at most `run` positions of each record are added up in
// float64.
//
// PRIVACY: docs/release.md proves from these numbers that rounding adds at most kRoundingShare to what one record moves.
#pragma once

#include <cstdint>

#include "torch.h"

namespace bastionlab {

// What the parts of a record's gradient may sum to, in clipping norms: factors hold it to this. An honest gradient's parts sum to
// about the square root of its positions.
double largest_spread(at::ScalarType type);

// Eta's part for rounding within blocks. Package planning has the same number, and a test compares them.
constexpr double kRoundingShare = 0x1p-6;
// Uses of one parameter that are rounded to the grid by themselves: beyond, they are written out and summed first.
constexpr int64_t kMostForms = 4;

// The longest block. Blocks begin at multiples of their length.
constexpr int64_t kMostRecords = 16;

struct Blocks {
  int64_t records;  // of one block: a power of two, so that blocks of several parameters lie within one another
  int64_t run;      // positions of one record that are multiplied at once
};

Blocks blocks_of(int64_t slots, int64_t positions, at::ScalarType type);

}  // namespace bastionlab
