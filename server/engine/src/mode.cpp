#include "mode.h"

#include <numeric>
#include <string_view>
#include <unordered_set>

namespace bastionlab {
namespace {

// Each with its input first, then the probability, then whether it trains.
const std::unordered_set<std::string_view> kDropouts = {"aten::dropout", "aten::alpha_dropout", "aten::feature_dropout",
                                                        "aten::feature_alpha_dropout", "aten::native_dropout"};

void set(Operand& operand, c10::IValue constant) {
  operand = {};
  operand.constant = std::move(constant);
}

}  // namespace

Tape in_evaluation_mode(Tape tape) {
  std::vector<ValueId> now(tape.values.size());  // by ValueId: the value that it is now
  std::iota(now.begin(), now.end(), 0);
  std::vector<Step> steps;
  for (Step& step : tape.steps) {
    for_each_value(step.operands, [&](ValueId& id) { id = now[id]; });
    if (step.name == "aten::scaled_dot_product_attention") set(step.operands.at(4), 0.0);
    if (kDropouts.contains(step.name)) {
      if (step.results.size() == 1 && step.operands.at(0).is_value()) {
        now[step.results[0]] = step.operands[0].value;
        continue;
      }
      set(step.operands.at(2), false);  // of a constant, or with its mask as a result
    }
    steps.push_back(std::move(step));
  }
  tape.steps = std::move(steps);
  tape.output = now[tape.output];
  return tape;
}

}  // namespace bastionlab
