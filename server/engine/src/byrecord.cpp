// Any operator, one record after the other: what draws random numbers, and what libtorch differentiates one way or another by what
// all records hold. It sees one record because there is no other.
#include "operations.h"
#include "randomness.h"

namespace bastionlab {
namespace {

using c10::IValue;
using torch::jit::Stack;

class ByRecord : public Operation {
 public:
  ByRecord(const Step& step, uint64_t place) : step_(step), place_(place), run_(step.op->getOperation()) {
    for (const c10::Argument& argument : step.op->schema().arguments()) types_.push_back(argument.type());
  }

  void run(Frame& frame) const override {
    // One unbind for each value, not a select for each record: its gradient is put together once.
    std::unordered_map<ValueId, std::vector<at::Tensor>> records;
    Step step = step_;
    for_each_value(step.operands, [&](ValueId& value) {
      if (!records.contains(value)) records[value] = frame.values[value].unbind(0);
    });
    std::vector<std::vector<at::Tensor>> results(step_.results.size());
    for (int64_t slot = 0; slot < frame.slots; slot++) {
      seed_generator(frame.seeds.at(slot), place_);
      Stack stack;
      for (size_t i = 0; i < step_.operands.size(); i++)
        stack.push_back(argument(step_.operands[i], types_[i], [&](ValueId value) { return records.at(value)[slot]; }));
      run_(stack);
      size_t r = 0;
      auto keep = [&](const at::Tensor& result) { results.at(r++).push_back(result); };
      for (const IValue& value : stack) {
        if (value.isTensor()) {
          keep(value.toTensor());
        } else {
          for (const IValue& element : value.toListRef()) keep(element.toTensor());
        }
      }
      TORCH_CHECK(r == results.size(), "expected ", results.size(), " results, got ", r);
    }
    for (size_t r = 0; r < results.size(); r++)
      if (results[r].at(0).defined()) frame.values[step_.results[r]] = at::stack(results[r]);  // [B, ...]
  }

 private:
  Step step_;
  uint64_t place_;
  mutable torch::jit::Operation run_;  // calling one is not const in libtorch, though it changes nothing
  std::vector<c10::TypePtr> types_;
};

}  // namespace

std::unique_ptr<Operation> make_by_record(const Step& step, uint64_t place) { return std::make_unique<ByRecord>(step, place); }

}  // namespace bastionlab
