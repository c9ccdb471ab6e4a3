#include "grid.h"

#include <cmath>

#include "rounding.h"

namespace bastionlab {

BL_VECTOR void add_rounded(int64_t* sum, const float* values, double per_unit, size_t n) {
  for (size_t i = 0; i < n; i++) sum[i] += rounded(static_cast<double>(values[i]) * per_unit);
}

BL_VECTOR void add_rounded(int64_t* sum, const double* values, double per_unit, size_t n) {
  for (size_t i = 0; i < n; i++) sum[i] += rounded(values[i] * per_unit);
}

BL_VECTOR void add_scaled(double* out, const float* values, double factor, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] += factor * static_cast<double>(values[i]);
}

BL_VECTOR void add_scaled(double* out, const double* values, double factor, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] += factor * values[i];
}

namespace {

template <class To, class From>
BL_INLINE void scale(To* out, const From* numbers, double scale, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = static_cast<To>(static_cast<double>(numbers[i]) * scale);
}

template <class To>
BL_INLINE void release(To* out, int64_t* numbers, const int64_t* noise, double scale, size_t n) {
  for (size_t i = 0; i < n; i++) {
    out[i] = static_cast<To>(static_cast<double>(numbers[i] + noise[i]) * scale);
    numbers[i] = 0;
  }
}

}  // namespace

BL_VECTOR void scale_all(float* out, const int64_t* numbers, double by, size_t n) { scale(out, numbers, by, n); }
BL_VECTOR void scale_all(double* out, const int64_t* numbers, double by, size_t n) { scale(out, numbers, by, n); }
BL_VECTOR void scale_all(float* out, const double* numbers, double by, size_t n) { scale(out, numbers, by, n); }
BL_VECTOR void scale_all(double* out, const double* numbers, double by, size_t n) { scale(out, numbers, by, n); }

BL_VECTOR void release_all(float* out, int64_t* numbers, const int64_t* noise, double by, size_t n) {
  release(out, numbers, noise, by, n);
}
BL_VECTOR void release_all(double* out, int64_t* numbers, const int64_t* noise, double by, size_t n) {
  release(out, numbers, noise, by, n);
}

std::optional<unsigned __int128> round_all(int64_t* out, const double* values, double per_unit, int64_t largest, size_t n) {
  unsigned __int128 squares = 0;
  for (size_t i = 0; i < n; i++) {
    double x = values[i] * per_unit;
    // Written so that NaN is too large.
    if (!(std::abs(x) <= static_cast<double>(largest))) return std::nullopt;
    out[i] = rounded(x);
    squares += static_cast<unsigned __int128>(out[i] < 0 ? -out[i] : out[i]) * static_cast<uint64_t>(out[i] < 0 ? -out[i] : out[i]);
  }
  return squares;
}

}  // namespace bastionlab
