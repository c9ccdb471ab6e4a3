#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace standin {
namespace {

constexpr size_t kArena = size_t{1} << 36;  // addresses, not memory: a page is had when it is first written to
constexpr size_t kSmallest = 64;
constexpr size_t kReturned = size_t{1} << 20;  // a block this large goes back to the system

class Memory {
 public:
  Memory() {
    int file = memfd_create("standin", 0);
    TORCH_CHECK(file >= 0 && ftruncate(file, kArena) == 0, "the stand-in device has no memory");
    held_ = mapped(file, PROT_NONE);
    seen_ = mapped(file, PROT_READ | PROT_WRITE);
    close(file);
  }

  void* allocate(size_t bytes) {
    size_t size = std::bit_ceil(std::max(bytes, kSmallest));
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<size_t>& free = free_[std::bit_width(size)];
    size_t offset = next_;
    if (!free.empty()) {
      offset = free.back();
      free.pop_back();
    } else {
      TORCH_CHECK(next_ + size <= kArena, "the stand-in device's memory is exhausted");
      next_ += size;
    }
    sizes_[offset] = size;
    allocated_ += size;
    return held_ + offset;
  }

  void release(void* block) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t offset = static_cast<uint8_t*>(block) - held_, size = sizes_.at(offset);
    sizes_.erase(offset);
    if (size >= kReturned) madvise(seen_ + offset, size, MADV_REMOVE);
    free_[std::bit_width(size)].push_back(offset);
    allocated_ -= size;
  }

  void* seen(const void* block) const {
    size_t offset = static_cast<const uint8_t*>(block) - held_;
    TORCH_CHECK(offset < kArena, "a kernel of the stand-in device was given memory of the host");
    return seen_ + offset;
  }

  size_t allocated() {
    std::lock_guard<std::mutex> lock(mutex_);
    return allocated_;
  }

 private:
  static uint8_t* mapped(int file, int access) {
    void* address = mmap(nullptr, kArena, access, MAP_SHARED | MAP_NORESERVE, file, 0);
    TORCH_CHECK(address != MAP_FAILED, "the stand-in device's memory cannot be mapped");
    return static_cast<uint8_t*>(address);
  }

  std::mutex mutex_;
  uint8_t *held_, *seen_;
  size_t next_ = 0, allocated_ = 0;
  std::array<std::vector<size_t>, 64> free_;
  std::unordered_map<size_t, size_t> sizes_;
};

// Never destroyed: tensors outlive what is static.
Memory& memory() {
  static auto* memory = new Memory;
  return *memory;
}

// Had when this library is loaded: a trainer's sandbox, which begins before main, lets no file be made in memory.
[[maybe_unused]] const Memory& had = memory();

}  // namespace

void* allocate(size_t bytes) { return bytes == 0 ? nullptr : memory().allocate(bytes); }

void release(void* block) {
  if (block != nullptr) memory().release(block);
}

void* seen_by_kernels(const void* block) { return block == nullptr ? nullptr : memory().seen(block); }

size_t allocated() { return memory().allocated(); }

}  // namespace standin
