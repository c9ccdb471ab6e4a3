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

  void move(Step& step) {
    const auto& arguments = step.op->schema().arguments();
    for (size_t i = 0; i < step.operands.size(); i++) {
      move(step.operands[i]);
      // What is made of nothing, as random numbers are, is made on the host unless a device is named.
      bool unnamed = step.operands[i].is_constant() && step.operands[i].constant.isNone();
      if (unnamed && arguments[i].type()->isSubtypeOf(*c10::OptionalType::create(c10::DeviceObjType::get())))
        step.operands[i].constant = device_;
    }
  }

 private:
  void move(Operand& operand) {
    for (Operand& part : operand.list) move(part);
    if (operand.constant.isTensor()) operand.constant = moved(operand.constant.toTensor());
    if (operand.constant.isDevice()) operand.constant = device_;
  }

  c10::Device device_;
  std::unordered_map<const c10::TensorImpl*, std::pair<at::Tensor, at::Tensor>> moved_;
};

}  // namespace

void place_on(c10::Device device, Tape& tape, std::vector<Parameter>& parameters) {
  if (device.is_cpu()) return;  // where they are
  torch::NoGradGuard no_grad;
  Placement placement(device);
  for (Parameter& parameter : parameters) parameter.tensor = placement.moved(parameter.tensor);
  for (Step& step : tape.steps) placement.move(step);
}

}  // namespace bastionlab
