#include "noise.h"

#include <vector>

#include "gaussian.h"

namespace bastionlab {
namespace {

constexpr int64_t kBlocksAtOnce = 64;  // 2 MiB of random bytes at a time

template <class Scalar>
void add_noise(Scalar* sum, int64_t n, double stddev, bl_random random, void* context) {
  constexpr int64_t block = kGaussianBlock;
  std::vector<uint64_t> words(kBlocksAtOnce * kGaussianWords);
  for (int64_t begin = 0; begin < n; begin += kBlocksAtOnce * block) {
    int64_t blocks = std::min(kBlocksAtOnce, (n - begin + block - 1) / block);
    random(context, reinterpret_cast<uint8_t*>(words.data()), blocks * kGaussianWords * sizeof(uint64_t));
    at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
      double normals[kGaussianBlock];
      for (int64_t b = first; b < last; b++) {
        Scalar* to = sum + begin + b * block;
        int64_t count = std::min(block, n - begin - b * block);
        gaussians(words.data() + b * kGaussianWords, normals, count);
        for (int64_t i = 0; i < count; i++) to[i] = static_cast<Scalar>(to[i] + stddev * normals[i]);
      }
    });
  }
  // PRIVACY: nobody finds the noise in freed memory.
  explicit_bzero(words.data(), words.size() * sizeof(uint64_t));
}

}  // namespace

void add_noise(at::Tensor& sum, double stddev, bl_random random, void* context) {
  if (sum.scalar_type() == at::kDouble)
    add_noise(sum.mutable_data_ptr<double>(), sum.numel(), stddev, random, context);
  else
    add_noise(sum.mutable_data_ptr<float>(), sum.numel(), stddev, random, context);
}

}  // namespace bastionlab
