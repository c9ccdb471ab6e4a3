#include "noise.h"

#include <atomic>
#include <bit>

#include "gaussian.h"

namespace bastionlab {
namespace {

constexpr int64_t kAtOnce = int64_t{1} << 18;  // coordinates: 2 MiB of random words, which a cache holds until they are taken
constexpr int64_t kTaken = int64_t{1} << 14;   // coordinates that are handed over together
constexpr size_t kReserved = 64;

}  // namespace

Noise::Noise(double stddev, bl_random random, void* context) : stddev_(stddev), random_(random), context_(context) {
  for (auto& room : rooms_) room = std::make_unique_for_overwrite<uint64_t[]>(kAtOnce);
  reserve_.reserve(kReserved);
}

// PRIVACY: nobody finds the noise in freed memory.
Noise::~Noise() {
  for (auto& room : rooms_) explicit_bzero(room.get(), used_ * sizeof(uint64_t));
  reserve_.resize(kReserved);
  explicit_bzero(reserve_.data(), kReserved * sizeof(uint64_t));
}

std::span<uint64_t> Noise::room(int which, int64_t n) {
  auto words = static_cast<size_t>(std::min(n, kAtOnce));
  used_ = std::max(used_, words);
  return {rooms_[which].get(), words};
}

void Noise::fetch(std::span<uint64_t> words) {
  if (!words.empty()) random_(context_, reinterpret_cast<uint8_t*>(words.data()), words.size_bytes());
}

uint64_t Noise::more() {
  if (reserve_.empty()) {
    reserve_.resize(kReserved);
    fetch(reserve_);
  }
  uint64_t word = reserve_.back();
  reserve_.pop_back();
  return word;
}

// A word becomes its rounded normal, while one of the threads fetches the next words.
void Noise::round(std::span<uint64_t> words, std::span<uint64_t> next) {
  size_t blocks = (words.size() + kNormalBlock - 1) / kNormalBlock;
  open_.resize(std::max(open_.size(), blocks));
  std::atomic<size_t> taken{0};
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t first, int64_t) {
    if (first == 0) fetch(next);
    int64_t noise[kNormalBlock];
    for (size_t b = taken++; b < blocks; b = taken++) {
      std::span<uint64_t> here = words.subspan(b * kNormalBlock).first(std::min(kNormalBlock, words.size() - b * kNormalBlock));
      open_[b].clear();
      rounded_normals(here.data(), stddev_, noise, here.size(), open_[b]);
      for (uint32_t i : open_[b]) noise[i] = std::bit_cast<int64_t>(here[i]);
      std::memcpy(here.data(), noise, here.size_bytes());
    }
    explicit_bzero(noise, sizeof(noise));  // PRIVACY: nor on the stack
  });
  for (size_t b = 0; b < blocks; b++)
    for (uint32_t i : open_[b]) {
      uint64_t& word = words[b * kNormalBlock + i];
      word = std::bit_cast<uint64_t>(rounded_normal(word, more(), stddev_));
    }
}

void Noise::draw(int64_t n, const Take& take) {
  std::span<uint64_t> words = room(0, n);
  fetch(words);
  for (int64_t begin = 0, turn = 1; begin < n; turn ^= 1) {
    auto count = static_cast<int64_t>(words.size());
    std::span<uint64_t> next = room(static_cast<int>(turn), n - begin - count);
    round(words, next);
    std::span<const int64_t> noise(reinterpret_cast<const int64_t*>(words.data()), words.size());
    at::parallel_for(0, count, kTaken,
                     [&](int64_t first, int64_t last) { take(begin + first, noise.subspan(first, last - first)); });
    begin += count;
    words = next;
  }
}

}  // namespace bastionlab
