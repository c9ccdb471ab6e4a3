// Views knows which tensors of the unrolled program are views of which, so that a change in place can be written down as new
// values: of the tensor, of what it is a view of, and of all other views of that. The tape itself changes nothing.
#pragma once

#include <unordered_map>
#include <vector>

#include "emitter.h"

namespace bastionlab {

class Views {
 public:
  // Remembers results that share memory with an argument.
  void note(const torch::jit::Operator& op, const torch::jit::Stack& arguments, const torch::jit::Stack& results);

  // `changed` holds what `now` holds from here on. Throws Failure where it is a view of a kind that cannot be written back.
  void change(const at::Tensor& changed, const at::Tensor& now, Emitter& emit);

  bool is_entangled(const at::Tensor& tensor) const;  // is a view, or has views

 private:
  struct View {
    at::Tensor self, base;
    const torch::jit::Operator* op;
    torch::jit::Stack arguments;
    int64_t element;  // of a list of results, or -1
  };
  void renew_views_of(const at::Tensor& base, const at::Tensor& except, Emitter& emit);
  at::Tensor written_back(const View& view, const at::Tensor& now, Emitter& emit) const;

  std::unordered_map<const c10::TensorImpl*, View> views_;
  std::unordered_map<const c10::TensorImpl*, std::vector<const c10::TensorImpl*>> of_;
};

}  // namespace bastionlab
