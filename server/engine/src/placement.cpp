#include "placement.h"

#include <unordered_map>

namespace bastionlab {
namespace {

class Placement {
 public:
  explicit Placement(c10::Device device) : device_(device) {}

  at::Tensor moved(const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    auto [found, is_new] = moved_.try_emplace(tensor.unsafeGetTensorImpl());
    // The tensor is kept with its copy: another in its place in memory would be taken for it.
    if (is_new) found->second = {tensor, tensor.to(device_)};
    return found->second.second;
  }

  void move(Operand& operand) {
    for (Operand& part : operand.list) move(part);
    if (operand.constant.isTensor()) operand.constant = moved(operand.constant.toTensor());
    if (operand.constant.isDevice()) operand.constant = device_;
  }

 private:
  c10::Device device_;
  std::unordered_map<const c10::TensorImpl*, std::pair<at::Tensor, at::Tensor>> moved_;
};

}  // namespace

void place_on(c10::Device device, Tape& tape, std::vector<Parameter>& parameters) {
  if (device.is_cpu()) return;  // where they are
  torch::NoGradGuard no_grad;
  Placement placement(device);
  for (Parameter& parameter : parameters) parameter.tensor = placement.moved(parameter.tensor);
  for (Step& step : tape.steps)
    for (Operand& operand : step.operands) placement.move(operand);
}

}  // namespace bastionlab
