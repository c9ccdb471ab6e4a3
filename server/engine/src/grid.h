// The loops of the release grid: pure arithmetic, no libtorch.
//
// A released sum is a vector of integers in units of C * 2^-k. Integers add up exactly and in any order, so what one record adds
// does not depend on what was added before it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace bastionlab {

// Beyond this a double has no room for the rounding below, and neither a sum for many of them.
constexpr double kLargestRounded = 0x1p50;

// sum += round(values * per_unit), to the nearest integer, each by itself. Every product must be at most kLargestRounded.
void add_rounded(int64_t* sum, const float* values, double per_unit, size_t n);
void add_rounded(int64_t* sum, const double* values, double per_unit, size_t n);

// out += factor * values
void add_scaled(double* out, const float* values, double factor, size_t n);
void add_scaled(double* out, const double* values, double factor, size_t n);

// out = numbers * scale
void scale_all(float* out, const int64_t* numbers, double scale, size_t n);
void scale_all(double* out, const int64_t* numbers, double scale, size_t n);
void scale_all(float* out, const double* numbers, double scale, size_t n);
void scale_all(double* out, const double* numbers, double scale, size_t n);

// out = (numbers + noise) * scale, and the numbers are zero.
void release_all(float* out, int64_t* numbers, const int64_t* noise, double scale, size_t n);
void release_all(double* out, int64_t* numbers, const int64_t* noise, double scale, size_t n);

// out = round(values * per_unit). Returns the sum of their squares, exactly; nothing where one is larger than `largest`, which is
// at most 2^40.
std::optional<unsigned __int128> round_all(int64_t* out, const double* values, double per_unit, int64_t largest, size_t n);

}  // namespace bastionlab
