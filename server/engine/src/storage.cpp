#include "storage.h"

#include <algorithm>

namespace bastionlab {

bool within_storage(const at::Tensor& tensor) {
  int64_t end = tensor.storage_offset(), bytes = 0;
  bool ok = end >= 0;
  for (int64_t d = 0; d < tensor.dim() && ok; d++) {
    int64_t span = 0;
    ok = tensor.size(d) >= 0 && tensor.stride(d) >= 0 &&
         !__builtin_mul_overflow(std::max<int64_t>(tensor.size(d) - 1, 0), tensor.stride(d), &span) &&
         !__builtin_add_overflow(end, span, &end);
  }
  ok = ok && !__builtin_add_overflow(end, int64_t{1}, &end) &&
       !__builtin_mul_overflow(end, static_cast<int64_t>(tensor.itemsize()), &bytes);
  return ok && (tensor.numel() == 0 || static_cast<size_t>(bytes) <= tensor.storage().nbytes());
}

}  // namespace bastionlab
