#include "normal_tail.h"

#include <limits>

namespace bastionlab {
namespace {

// 113 bits in either case.
#if defined(__x86_64__) || defined(__i386__)
using Quad = __float128;
#else
using Quad = long double;
static_assert(std::numeric_limits<long double>::digits >= 113, "noise needs a floating-point type of 113 bits");
#endif

constexpr Quad kSmallest = 0x1p-118;
// 1 / sqrt(2 pi), in three doubles.
constexpr Quad kInverseRootTwoPi = Quad(0x1.9884533d43651p-2) + Quad(-0x1.cbc0d30ebfd15p-56) + Quad(-0x1.c7402c7d60cfbp-112);

// exp(x) for -200 < x <= 0: x / 2^9 is small, and the result is squared nine times. The error grows by 2^9.
Quad exponential(Quad x) {
  Quad small = x * Quad(0x1p-9), term = 1, sum = 1;
  for (int n = 1; n < 40; n++) {
    term *= small / n;
    sum += term;
  }
  for (int i = 0; i < 9; i++) sum *= sum;
  return sum;
}

Quad density(Quad z) { return kInverseRootTwoPi * exponential(-z * z / 2); }

// 1/2 - phi(z) (z + z^3/3 + z^5/15 + ...): all terms are positive, and the difference loses 8 bits at z = 2.5.
Quad tail_by_series(Quad z) {
  Quad term = z, sum = z;
  for (int n = 1; term > kSmallest; n++) {
    term *= z * z / (2 * n + 1);
    sum += term;
  }
  return Quad(0.5) - density(z) * sum;
}

// Laplace's continued fraction phi(z) / (z + 1/(z + 2/(z + 3/(z + ...)))).
Quad tail_by_fraction(Quad z) {
  constexpr int kTerms = 600;
  Quad below = z;
  for (int n = kTerms; n > 0; n--) below = z + n / below;
  return density(z) / below;
}

Quad tail(Quad z) { return z < Quad(2.5) ? tail_by_series(z) : tail_by_fraction(z); }

}  // namespace

bool lies_beyond(uint64_t high, uint64_t low, int64_t twice_boundary, double stddev) {
  Quad p = (Quad(high) + (Quad(low) + Quad(0.5)) * Quad(0x1p-64)) * Quad(0x1p-64);
  return p < tail(Quad(twice_boundary) / 2 / Quad(stddev));
}

}  // namespace bastionlab
