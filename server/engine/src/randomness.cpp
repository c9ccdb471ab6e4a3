#include "randomness.h"

namespace bastionlab {

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbouring places give unlike numbers.
void seed_generator(c10::Device device, uint64_t seed, uint64_t place) {
  uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  at::Generator generator = at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(z ^ (z >> 32));  // mt19937 looks at the lower half
}

}  // namespace bastionlab
