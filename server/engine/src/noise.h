#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

// round(stddev * N(0, 1)) for one coordinate after the other, from the caller's generator, which is never called twice at a time.
// stddev is in units of the grid, at most kLargestDeviation.
class Noise {
 public:
  Noise(double stddev, bl_random random, void* context);
  Noise(const Noise&) = delete;
  Noise& operator=(const Noise&) = delete;
  ~Noise();

  // What is done with the noise of coordinates [begin, begin + noise.size()), on several threads at once.
  using Take = std::function<void(int64_t begin, std::span<const int64_t> noise)>;
  // For n coordinates, each once.
  void draw(int64_t n, const Take& take);

 private:
  std::span<uint64_t> room(int which, int64_t n);
  void fetch(std::span<uint64_t> words);
  void round(std::span<uint64_t> words, std::span<uint64_t> next);
  uint64_t more();

  double stddev_;
  bl_random random_;
  void* context_;
  std::unique_ptr<uint64_t[]> rooms_[2];  // random words, and in their place the noise of them
  size_t used_ = 0;                       // of either, at most
  std::vector<std::vector<uint32_t>> open_;
  std::vector<uint64_t> reserve_;  // for the few numbers that need more than one word; taken from its end
};

}  // namespace bastionlab
