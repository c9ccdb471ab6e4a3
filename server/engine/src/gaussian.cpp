// Wichura's algorithm AS 241 (PPND16) in double precision, and where its last bits would decide, normal_tail.h.
#include "gaussian.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "normal_tail.h"
#include "rounding.h"

namespace bastionlab {
namespace {

constexpr uint64_t kSign = uint64_t{1} << 63;
constexpr uint64_t kCoarse = uint64_t{1} << 52;  // below it the first 63 bits say too little of a probability
constexpr double kCentral = 0.425;               // |p - 1/2| up to which the first approximation holds
constexpr uint64_t kFirstCentral = static_cast<uint64_t>((0.5 - kCentral) * 0x1p63) * 2;
// PRIVACY: a computed z is off by less than this times 1 + |z|; test_rounded_normal.py measures less than half of it. The width of
// what 63 bits leave open is far below.
constexpr double kError = 0x1p-49;

BL_INLINE double ratio(double x, const double (&p)[8], const double (&q)[8]) {
  double num = p[7], den = q[7];
  for (int i = 6; i >= 0; i--) {
    num = num * x + p[i];
    den = den * x + q[i];
  }
  return num / den;
}

constexpr double kA[8] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
                          4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
constexpr double kB[8] = {1.0,
                          4.2313330701600911252e1,
                          6.8718700749205790830e2,
                          5.3941960214247511077e3,
                          2.1213794301586595867e4,
                          3.9307895800092710610e4,
                          2.8729085735721942674e4,
                          5.2264952788528545610e3};
constexpr double kC[8] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                          3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                          2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr double kD[8] = {1.0,
                          2.05319162663775882187e0,
                          1.67638483018380384940e0,
                          6.89767334985100004550e-1,
                          1.48103976427480074590e-1,
                          1.51986665636164571966e-2,
                          5.47593808499534494600e-4,
                          1.05075007164441684324e-9};
constexpr double kE[8] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                          2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                          2.71155556874348757815e-5, 2.01033439929228813265e-7};
constexpr double kF[8] = {1.0,
                          5.99832206555887937690e-1,
                          1.36929880922735805310e-1,
                          1.48753612908506148525e-2,
                          7.86869131145613259100e-4,
                          1.84631831751005468180e-5,
                          1.42151175831644588870e-7,
                          2.04426310338993978564e-15};

// ln x of a normal number below 1, without a branch, so that vector units compute it: fdlibm's polynomial, off by less than 2^-53
// of itself where x < 0.5.
BL_INLINE double logarithm(double x) {
  constexpr double l1 = 6.666666666666735130e-01, l2 = 3.999999999940941908e-01, l3 = 2.857142874366239149e-01,
                   l4 = 2.222219843214978396e-01, l5 = 1.818357216161805012e-01, l6 = 1.531383769920937332e-01,
                   l7 = 1.479819860511658591e-01, ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  constexpr uint64_t root_half = 0x3fe6a09e667f3bcd;
  // x = 2^k m with m from sqrt(1/2) to sqrt(2).
  uint64_t from_root = std::bit_cast<uint64_t>(x) - root_half;
  int64_t k = static_cast<int64_t>(from_root) >> 52;
  double m = std::bit_cast<double>(std::bit_cast<uint64_t>(x) - (static_cast<uint64_t>(k) << 52));
  // The sum's lowest bits are k.
  double n = std::bit_cast<double>(std::bit_cast<uint64_t>(0x1.8p52) + static_cast<uint64_t>(k)) - 0x1.8p52;
  double f = m - 1, s = f / (2 + f), z = s * s, w = z * z;
  double r = z * (l1 + w * (l3 + w * (l5 + w * l7))) + w * (l2 + w * (l4 + w * l6)), half = 0.5 * f * f;
  return n * ln2_high - ((half - (s * (half + r) + n * ln2_low)) - f);
}

// Of a magnitude far below 2^63, which every vector unit converts.
BL_INLINE double tail_probability(uint64_t magnitude) {
  return (static_cast<double>(static_cast<int64_t>(magnitude)) + 0.5) * 0x1p-64;
}

// The normal whose one-sided tail probability is p, 0 < p < 0.075.
double tail(double p) {
  double r = std::sqrt(-logarithm(p));
  return r <= 5 ? ratio(r - 1.6, kC, kD) : ratio(r - 5, kE, kF);
}

// The same for many words by their place, as long as none is beyond 2^-36, where r is 5.
BL_VECTOR void near_tails(const uint64_t* words, const uint32_t* places, double* z, size_t n) {
  for (size_t t = 0; t < n; t++) z[t] = ratio(std::sqrt(-logarithm(tail_probability(words[places[t]] & ~kSign))) - 1.6, kC, kD);
}

// Half the magnitude fits a signed number, which every vector unit converts.
BL_INLINE double probability(uint64_t magnitude) {
  return (static_cast<double>(static_cast<int64_t>(magnitude >> 1)) + 0.5) * 0x1p-63;  // (0, 1/2)
}

BL_INLINE double central(double p) {
  double q = 0.5 - p;
  return q * ratio(0.180625 - q * q, kA, kB);
}

// |z| as if every word lay in the middle; it is wrong in the tails, and those are done again.
BL_VECTOR void middle(const uint64_t* words, double* out, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = central(probability(words[i] & ~kSign));
}

double normal(double p) { return 0.5 - p <= kCentral ? central(p) : tail(p); }

// Whether z is too close to a boundary between two integers to be rounded.
BL_INLINE bool is_open(double z, double stddev) {
  double y = stddev * z, from_boundary = 0.5 - std::abs(y - ((y + kToInteger) - kToInteger));
  return !(from_boundary > stddev * kError * (1 + z));
}

// The signed number of each word, and whether it says too little of it.
BL_VECTOR void round(const uint64_t* words, const double* z, double stddev, int64_t* out, uint8_t* open, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int64_t sign = static_cast<int64_t>(words[i]) >> 63;  // 0 or -1
    out[i] = (rounded(stddev * z[i]) ^ sign) - sign;
  }
  for (size_t i = 0; i < n; i++)
    open[i] = static_cast<uint8_t>(is_open(z[i], stddev)) | static_cast<uint8_t>((words[i] & ~kSign) < kCoarse);
}

}  // namespace

double absolute_normal(uint64_t word) {
  uint64_t magnitude = word & ~kSign;
  return magnitude < kFirstCentral ? tail(tail_probability(magnitude)) : central(probability(magnitude));
}

void rounded_normals(const uint64_t* words, double stddev, int64_t* out, size_t n, std::vector<uint32_t>& open) {
  double z[kNormalBlock], in_tail[kNormalBlock];
  uint32_t place[kNormalBlock];
  uint8_t is_open[kNormalBlock] = {};
  middle(words, z, n);
  size_t tails = 0;
  for (size_t i = 0; i < n; i++) {
    place[tails] = static_cast<uint32_t>(i);
    tails += (words[i] & ~kSign) < kFirstCentral ? 1 : 0;
  }
  near_tails(words, place, in_tail, tails);
  for (size_t t = 0; t < tails; t++) {
    double p = tail_probability(words[place[t]] & ~kSign);
    z[place[t]] = p > 0x1p-36 ? in_tail[t] : tail(p);
  }
  round(words, z, stddev, out, is_open, n);
  for (size_t group = 0; group < n; group += 8) {  // of which hardly any has one
    uint64_t any;
    std::memcpy(&any, is_open + group, sizeof(any));
    if (any == 0) continue;
    for (size_t i = group; i < group + 8; i++)
      if (is_open[i] != 0) open.push_back(static_cast<uint32_t>(i));
  }
  // PRIVACY: nobody finds the noise in freed memory.
  explicit_bzero(z, sizeof(z));
  explicit_bzero(in_tail, sizeof(in_tail));
}

int64_t rounded_normal(uint64_t word, uint64_t more, double stddev) {
  uint64_t magnitude = word & ~kSign;
  double p = (static_cast<double>(magnitude) + (static_cast<double>(more >> 11) + 0.5) * 0x1p-53) * 0x1p-64;
  double z = normal(p);
  int64_t near = rounded(stddev * z);
  if (magnitude == 0 || is_open(z, stddev)) {  // 53 of the further bits are few where there are no others
    // The number is close to a boundary, and for the largest deviations one of a few.
    while (lies_beyond(magnitude, more, 2 * near + 1, stddev)) near++;
    while (near > 0 && !lies_beyond(magnitude, more, 2 * near - 1, stddev)) near--;
  }
  return (word & kSign) != 0 ? -near : near;
}

}  // namespace bastionlab
