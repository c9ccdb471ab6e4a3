// The general way for a parameter: every record gets one of its own, all the same memory, and its gradient comes out written per
// record.
#include "dense.h"
#include "operations.h"

namespace bastionlab {
namespace {

class Expand : public Operation {
 public:
  Expand(int parameter, ValueId result) : parameter_(parameter), result_(result) {}

  void run(Frame& frame) const override {
    const at::Tensor& parameter = frame.parameters[parameter_];
    std::vector<int64_t> shape{frame.slots};
    shape.insert(shape.end(), parameter.sizes().begin(), parameter.sizes().end());
    at::Tensor all = parameter.detach().unsqueeze(0).expand(shape);  // [B, *parameter], stride 0 over the slots
    frame.record(
        all, [p = parameter_](const at::Tensor& gradient, Measured& out) { out[p].push_back(std::make_unique<Dense>(gradient)); });
    frame.values[result_] = std::move(all);
  }

 private:
  int parameter_;
  ValueId result_;
};

}  // namespace

std::unique_ptr<Operation> make_expand(int parameter, ValueId result) { return std::make_unique<Expand>(parameter, result); }

}  // namespace bastionlab
