#include "rewrite.h"

#include <functional>
#include <map>

#include "bounds.h"
#include "operators.h"

namespace bastionlab {
namespace {

struct Rule {
  const char* measurement;
  std::unique_ptr<Operation> (*make)(const Step&, const RewriteContext&);
};

// The book-keeping operators. What is not here, or has a form that they do not take, goes the general way.
const std::map<std::string, Rule> kRules = {
    {"aten::linear", {"linear", make_linear}},
    {"aten::matmul", {"linear", make_matmul}},
    {"aten::mm", {"linear", make_matmul}},
    {"aten::addmm", {"linear", make_matmul}},
    {"aten::conv1d", {"convolution", make_conv}},
    {"aten::conv2d", {"convolution", make_conv}},
    {"aten::conv3d", {"convolution", make_conv}},
    {"aten::convolution", {"convolution", make_conv}},
    {"aten::_convolution", {"convolution", make_conv}},
    {"aten::_convolution_mode", {"convolution", make_conv}},
    {"aten::embedding", {"embedding", make_embedding}},
    {"aten::layer_norm", {"layer_norm", make_layer_norm}},
    {"aten::group_norm", {"group_norm", make_group_norm}},
    {"aten::batch_norm", {"batch_norm", make_batch_norm}},
    {"aten::scaled_dot_product_attention", {"attention", make_attention}},
};

class Rewriter {
 public:
  Rewriter(Tape& tape, const std::vector<Parameter>& parameters, c10::Device device)
      : tape_(tape), context_{tape, 0, {}}, device_(device) {
    int next = 0;
    for (const Parameter& parameter : parameters) {
      context_.trainable.push_back(parameter.trainable ? next++ : -1);
      if (!parameter.trainable) continue;
      shapes_.push_back(parameter.tensor.sizes().vec());
      dtypes_.push_back(parameter.tensor.scalar_type());
    }
    plan_.measurements.resize(next);
  }

  Plan run() {
    for (Step& step : tape_.steps) {
      if (!book_keep(step)) general(step);
      context_.place++;
    }
    if (int parameter = context_.parameter(value(tape_.output)); parameter >= 0) tape_.output = expanded(parameter, "", "");
    free_early();
    return std::move(plan_);
  }

 private:
  static Operand value(ValueId id) {
    Operand operand;
    operand.value = id;
    return operand;
  }

  void add(std::unique_ptr<Operation> operation, const Step& step, std::vector<ValueId> reads) {
    // SECURITY: what would make a kernel of the CPU throw must not reach one of a device, whose run it would end.
    if (!device_.is_cpu()) operation = within_bounds(std::move(operation), step, context_);
    plan_.steps.push_back({std::move(operation), step.name, step.layer, {}});
    reads_.push_back(std::move(reads));
  }

  bool book_keep(Step& step) {
    auto rule = kRules.find(step.name);
    if (rule == kRules.end()) return false;
    std::unique_ptr<Operation> operation = rule->second.make(step, context_);
    if (operation == nullptr) return false;
    std::vector<ValueId> reads;
    for_each_value(step.operands, [&](ValueId& id) {
      int parameter = context_.parameter(value(id));
      if (parameter >= 0)
        plan_.measurements[parameter].push_back(rule->second.measurement);
      else
        reads.push_back(id);
    });
    add(std::move(operation), step, std::move(reads));
    return true;
  }

  // PRIVACY: no parameter reaches an operator but as a book-kept weight or as one of its own per record.
  void general(Step& step) {
    std::vector<ValueId> reads;
    for_each_value(step.operands, [&](ValueId& id) {
      int parameter = context_.parameter(value(id));
      if (parameter >= 0) id = expanded(parameter, step.name, step.layer);
      reads.push_back(id);
    });
    auto rule = kRules.find(step.name);  // once more, now that what it could not take for a weight is a value
    std::unique_ptr<Operation> operation = rule == kRules.end() ? nullptr : rule->second.make(step, context_);
    bool one_at_a_time = operation == nullptr && (is_random(*step.op) || looks_at_all(*step.op));
    if (operation == nullptr) operation = one_at_a_time ? make_by_record(step, context_.place) : make_vmap(step);
    add(std::move(operation), step, std::move(reads));
    plan_.steps.back().one_at_a_time = one_at_a_time;
  }

  // The value that holds a parameter once per record; made at its first general use and shared by all of them.
  ValueId expanded(int parameter, const std::string& name, const std::string& layer) {
    auto [found, is_new] = expanded_.try_emplace(parameter, static_cast<ValueId>(tape_.values.size()));
    if (!is_new) return found->second;
    tape_.values.push_back({Origin::kStep, 0, shapes_[parameter], dtypes_[parameter]});
    plan_.measurements[parameter].push_back("expand");
    plan_.steps.push_back({make_expand(parameter, found->second), name, layer, {}});
    reads_.emplace_back();
    return found->second;
  }

  void free_early() {
    std::vector<bool> needed(tape_.values.size(), false);
    needed[tape_.output] = true;
    for (size_t i = plan_.steps.size(); i-- > 0;) {
      for (ValueId read : reads_[i]) {
        if (!needed[read]) plan_.steps[i].last_use.push_back(read);
        needed[read] = true;
      }
    }
  }

  Tape& tape_;
  RewriteContext context_;
  c10::Device device_;
  Plan plan_;
  std::vector<std::vector<int64_t>> shapes_;  // of the trainable parameters
  std::vector<at::ScalarType> dtypes_;
  std::vector<std::vector<ValueId>> reads_;
  std::map<int, ValueId> expanded_;
};

}  // namespace

Weight weight(const Operand& operand, const RewriteContext& context) {
  int parameter = context.parameter(operand);
  if (parameter >= 0) return {parameter, {}};
  return {-1, operand.constant.isTensor() ? operand.constant.toTensor() : at::Tensor()};
}

Plan rewrite(Tape& tape, const std::vector<Parameter>& parameters, c10::Device device) {
  return Rewriter(tape, parameters, device).run();
}

}  // namespace bastionlab
