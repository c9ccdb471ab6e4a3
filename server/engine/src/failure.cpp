#include "failure.h"

#include <cstring>
#include <new>

#include "torch.h"

namespace bastionlab {
namespace {

template <size_t N>
void put(char (&out)[N], const std::string& text) noexcept {
  size_t n = text.size() < N ? text.size() : N - 1;
  std::memcpy(out, text.data(), n);
  out[n] = '\0';
}

bl_status answer(bl_error* err, bl_status status, const std::string& reason) noexcept {
  if (err != nullptr) put(err->reason, reason);
  return status;
}

bool libtorch_is_quoted = false;  // PRIVACY: a libtorch text may quote values

}  // namespace

void quote_libtorch() noexcept { libtorch_is_quoted = true; }

std::string first_line(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  // "... Exception raised from f at /build/file.cpp:12": where libtorch was built is nobody's concern.
  for (const char* tail : {" Exception raised from", " (most recent call first)"}) {
    if (size_t at = line.find(tail); at != std::string::npos) line.resize(at);
  }
  // "isObject() INTERNAL ASSERT FAILED at "/build/file.h":12, please report a bug to PyTorch. Expected Object": neither here.
  constexpr char kWhere[] = " INTERNAL ASSERT FAILED at ", kPlea[] = ", please report a bug to PyTorch. ";
  size_t from = line.find(kWhere), to = line.find(kPlea);
  if (from != std::string::npos && to != std::string::npos && from < to) line.replace(from, to + sizeof kPlea - 1 - from, ": ");
  // "... but you set 'torch.use_deterministic_algorithms(True)'. You can turn off determinism ...": nobody who reads this can.
  if (size_t at = line.find(" does not have a deterministic implementation"); at != std::string::npos)
    line.replace(at, std::string::npos, " has no fixed order on a GPU; train the model on the CPU");
  return line;
}

void clear(bl_error* err) noexcept {
  if (err != nullptr) err->op[0] = err->layer[0] = err->reason[0] = '\0';
}

bool is_out_of_memory(const std::exception& e) {
  return dynamic_cast<const std::bad_alloc*>(&e) != nullptr || dynamic_cast<const c10::OutOfMemoryError*>(&e) != nullptr ||
         std::strstr(e.what(), "can't allocate memory") != nullptr || std::strstr(e.what(), "not enough memory") != nullptr;
}

bl_status current_exception_status(bl_error* err) noexcept try {
  try {
    throw;
  } catch (const Failure& failure) {
    if (err != nullptr) put(err->op, failure.op), put(err->layer, failure.layer);
    return answer(err, failure.status, failure.reason);
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) return answer(err, BL_OUT_OF_MEMORY, "out of memory");
    return answer(err, BL_INTERNAL, libtorch_is_quoted ? first_line(e.what()) : "the engine failed");
  }
} catch (...) {
  return BL_INTERNAL;
}

}  // namespace bastionlab
