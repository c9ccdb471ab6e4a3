// A table of rows and indices into it. No weight is ever scaled or renormalised here: judge.cpp refuses those options.
#include "operations.h"
#include "rows.h"

namespace bastionlab {
namespace {

// [B, ...] -> [B, T]
at::Tensor flat(const at::Tensor& index) { return index.reshape({index.size(0), -1}).to(at::kLong); }

// The table is a parameter or a constant.
class Embedding : public Operation {
 public:
  Embedding(const Step& step, Weight table)
      : table_(std::move(table)),
        index_(step.operands.at(1)),
        padding_(step.operands.at(2).constant.toInt()),
        result_(step.results.at(0)) {}

  void run(Frame& frame) const override {
    at::Tensor index = in_all_slots(index_, frame);  // [B, ...]
    at::Tensor y = at::embedding(table_.get(frame), index);
    if (table_.trainable())
      frame.record(y, [index = flat(index), p = table_.parameter, padding = padding_](const at::Tensor& gradient, Measured& out) {
        at::Tensor g = gradient.reshape({index.size(0), index.size(1), gradient.size(-1)});  // [B, T, d]
        if (padding >= 0) g = g.masked_fill(index.eq(padding).unsqueeze(-1), 0);             // the padding's row is not trained
        out[p].push_back(std::make_unique<Rows>(index, std::move(g)));
      });
    frame.values[result_] = std::move(y);
  }

 private:
  Weight table_;
  Operand index_;
  int64_t padding_;
  ValueId result_;
};

// Every record has a table of its own. SECURITY: libtorch's batching rule lays the tables one after the other and adds an offset to
// the indices unchecked: an index beyond a record's table would read the next record's. Gather checks each against its own.
class Lookup : public Operation {
 public:
  explicit Lookup(const Step& step)
      : table_(step.operands.at(0)),
        index_(step.operands.at(1)),
        padding_(step.operands.at(2).constant.toInt()),
        result_(step.results.at(0)) {}

  void run(Frame& frame) const override {
    at::Tensor table = in_all_slots(table_, frame);                                        // [B, V, d]
    at::Tensor index = in_all_slots(index_, frame);                                        // [B, ...]
    at::Tensor rows = flat(index).unsqueeze(-1).expand({frame.slots, -1, table.size(2)});  // [B, T, d]
    at::Tensor y = table.gather(1, rows);                                                  // [B, T, d]
    if (padding_ >= 0) y = at::where(rows.eq(padding_), y.detach(), y);
    std::vector<int64_t> shape = index.sizes().vec();
    shape.push_back(table.size(2));
    frame.values[result_] = y.view(shape);
  }

 private:
  Operand table_, index_;
  int64_t padding_;
  ValueId result_;
};

}  // namespace

std::unique_ptr<Operation> make_embedding(const Step& step, const RewriteContext& context) {
  if (context.parameter(step.operands.at(1)) >= 0) return nullptr;
  const Operand& table = step.operands.at(0);
  if (context.is_weight(table)) return std::make_unique<Embedding>(step, weight(table, context));
  return std::make_unique<Lookup>(step);
}

}  // namespace bastionlab
