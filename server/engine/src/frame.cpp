#include "frame.h"

namespace bastionlab {

void Frame::record(at::Tensor& output, std::function<void(const at::Tensor&, Measured&)> measure) {
  if (!output.requires_grad()) output = output.detach().requires_grad_(true);
  recordings.push_back({torch::autograd::impl::gradient_edge(output), std::move(measure)});
}

at::Tensor dense(const at::Tensor& all) {
  return all.dim() < 2 || all.select(0, 0).is_non_overlapping_and_dense() ? all : all.contiguous();
}

at::Tensor in_all_slots(const Operand& operand, const Frame& frame) {
  if (operand.is_value()) return frame.values[operand.value];
  // A book-keeping operator must see the slots even where its input is a constant, or the gradients of all records arrive as one
  // sum.
  const at::Tensor& constant = operand.constant.toTensor();
  std::vector<int64_t> shape{frame.slots};
  shape.insert(shape.end(), constant.sizes().begin(), constant.sizes().end());
  return constant.unsqueeze(0).expand(shape);
}

}  // namespace bastionlab
