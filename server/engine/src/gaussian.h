// Normal numbers from uniform bits, by the inverse of the normal distribution function; no libtorch.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bastionlab {

// Words of random bits that kGaussianBlock normals take: one each, and a reserve for the tail.
constexpr size_t kGaussianBlock = 4096;
constexpr size_t kGaussianReserve = 64;
constexpr size_t kGaussianWords = kGaussianBlock + kGaussianReserve;

// n <= kGaussianBlock independent standard normals from kGaussianWords words. All are finite.
void gaussians(const uint64_t* words, double* out, size_t n);

}  // namespace bastionlab
