#include "noise.h"

#include <vector>

#include "gaussian.h"

namespace bastionlab {
namespace {

constexpr int64_t kBlocksAtOnce = 64;  // 2 MiB of random bytes at a time

// Random words for the few numbers that need more than one.
class Reserve {
 public:
  Reserve(bl_random random, void* context) : random_(random), context_(context) {}
  Reserve(const Reserve&) = delete;
  Reserve& operator=(const Reserve&) = delete;
  ~Reserve() { explicit_bzero(words_, sizeof(words_)); }

  uint64_t next() {
    if (used_ == kWords) {
      random_(context_, reinterpret_cast<uint8_t*>(words_), sizeof(words_));
      used_ = 0;
    }
    return words_[used_++];
  }

 private:
  static constexpr size_t kWords = 64;
  bl_random random_;
  void* context_;
  uint64_t words_[kWords] = {};
  size_t used_ = kWords;
};

}  // namespace

void add_noise(int64_t* sum, int64_t n, double stddev, bl_random random, void* context) {
  constexpr int64_t block = kNormalBlock;
  std::vector<uint64_t> words(std::min(n, kBlocksAtOnce * block));
  std::vector<std::vector<uint32_t>> open(kBlocksAtOnce);
  Reserve reserve(random, context);
  for (int64_t begin = 0; begin < n; begin += kBlocksAtOnce * block) {
    int64_t here = std::min(kBlocksAtOnce * block, n - begin), blocks = (here + block - 1) / block;
    random(context, reinterpret_cast<uint8_t*>(words.data()), here * sizeof(uint64_t));
    at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
      int64_t noise[kNormalBlock];
      for (int64_t b = first; b < last; b++) {
        int64_t count = std::min(block, here - b * block);
        open[b].clear();
        rounded_normals(words.data() + b * block, stddev, noise, count, open[b]);
        for (uint32_t i : open[b]) noise[i] = 0;
        int64_t* to = sum + begin + b * block;
        for (int64_t i = 0; i < count; i++) to[i] += noise[i];
      }
      // PRIVACY: nobody finds the noise in freed memory.
      explicit_bzero(noise, sizeof(noise));
    });
    for (int64_t b = 0; b < blocks; b++)
      for (uint32_t i : open[b]) sum[begin + b * block + i] += rounded_normal(words[b * block + i], reserve.next(), stddev);
  }
  explicit_bzero(words.data(), words.size() * sizeof(uint64_t));
}

}  // namespace bastionlab
