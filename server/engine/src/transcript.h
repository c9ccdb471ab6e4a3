// Transcript knows, while a model runs once on a record of zeros, which tensors vary (with the record, a trainable parameter or a
// random number), and writes down every operator that touches one. All other tensors are constants of the program.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "tape.h"

namespace bastionlab {

class Transcript {
 public:
  // Names a tensor that varies from the start.
  ValueId introduce(const at::Tensor& tensor, Origin origin, int index);

  // Two tensors that are the same memory are the same value.
  void same(const at::Tensor& tensor, const at::Tensor& as) { rebind(tensor, as); }

  bool varies(const at::Tensor& tensor) const;
  bool varies(const c10::IValue& value) const;  // looks into lists, tuples and dicts

  // Writes one step: the arguments as they were before, the results as the operator returned them.
  void write(const torch::jit::Operator& op, const std::string& layer, const torch::jit::Stack& arguments,
             const torch::jit::Stack& results);

  // Makes the tensor stand for another value from here on: it was changed in place.
  void rebind(const at::Tensor& tensor, const at::Tensor& now);

  ValueId value_of(const at::Tensor& tensor) const;  // kNone for a constant
  // The memory of a constant that nothing may change; the tape holds it as it is, and a copy of any other.
  void never_changes(const at::Tensor& constant) { fixed_.insert(constant.storage().unsafeGetStorageImpl()); }

  Tape& tape() { return tape_; }

 private:
  struct Known {
    at::Tensor keep_alive;  // identity is the address of the TensorImpl, so it must not be used again
    ValueId value;
  };
  ValueId add_value(const at::Tensor& tensor, Origin origin, int index);
  Operand operand(const c10::IValue& argument);
  at::Tensor constant(const at::Tensor& tensor);

  std::unordered_map<const c10::TensorImpl*, Known> known_;
  std::unordered_set<const c10::StorageImpl*> fixed_;
  struct Copy {
    at::Tensor original, copy;
    uint32_t version;
  };
  std::unordered_map<const c10::TensorImpl*, Copy> copies_;
  Tape tape_;
};

}  // namespace bastionlab
