// Judge decides which operators may run at all: those in the caller's table and no other, and of those only the uses known to be
// sound.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>

#include "torch.h"

namespace bastionlab {

class Judge {
 public:
  Judge(const char* const* allowed, size_t count);

  // SECURITY: called for every operator before it runs, at loading too. Throws Failure(BL_INCOMPATIBLE_MODEL).
  void operator_allowed(const std::string& name, const std::string& layer) const;
  // Uses of an admitted operator that are not sound for one record at a time: BatchNorm that learns, boolean indexing, ...
  // varies: whether a tensor depends on a record, a parameter or a random number.
  using Varies = std::function<bool(const at::Tensor&)>;
  void use_allowed(const torch::jit::Operator& op, const torch::jit::Stack& arguments, const std::string& layer,
                   const Varies& varies) const;

 private:
  std::unordered_set<std::string> allowed_;
};

// Why BatchNorm in training mode is refused, and what to use.
extern const char* const kBatchNormReason;

}  // namespace bastionlab
