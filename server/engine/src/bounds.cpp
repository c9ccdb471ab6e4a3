#include "bounds.h"

#include <limits>
#include <map>
#include <stdexcept>

namespace bastionlab {
namespace {

enum class Within {
  kRows,         // an index into the first dimension of argument 0
  kDimension,    // an index along the dimension that argument 1 names, of argument 0
  kDimensions,   // a list of indices into the dimensions of argument 0, which may count from the end
  kUnit,         // a probability or a share, of 0 to 1
  kNotNegative,  // a rate, or a deviation
};

struct Bound {
  size_t argument;
  Within within;
  const char* overload = nullptr;  // of which alone it is so
};

// SECURITY: the operators that program/cuda.txt calls checked, and no other; a test compares the two.
const std::map<std::string, std::vector<Bound>> kBounds = {
    {"aten::embedding", {{1, Within::kRows}}},
    {"aten::gather", {{2, Within::kDimension}}},
    {"aten::index", {{1, Within::kDimensions}}},
    {"aten::index_add", {{2, Within::kDimension}}},
    {"aten::index_copy", {{2, Within::kDimension}}},
    {"aten::index_put", {{1, Within::kDimensions}}},
    {"aten::index_select", {{2, Within::kDimension}}},
    {"aten::scatter", {{2, Within::kDimension}}},
    {"aten::scatter_add", {{2, Within::kDimension}}},
    {"aten::scatter_reduce", {{2, Within::kDimension}}},
    {"aten::bernoulli", {{0, Within::kUnit, ""}, {1, Within::kUnit, "Tensor"}}},
    {"aten::binary_cross_entropy", {{0, Within::kUnit}, {1, Within::kUnit}}},
    {"aten::nanquantile", {{1, Within::kUnit}}},
    {"aten::normal", {{1, Within::kNotNegative}}},
    {"aten::poisson", {{0, Within::kNotNegative}}},
    {"aten::quantile", {{1, Within::kUnit}}},
};

struct Range {
  ValueId value;
  c10::Scalar least, most;

  bool holds(const at::Tensor& all) const {
    return all.ge(least).logical_and_(all.le(most)).all().item<bool>();  // a NaN is in no range
  }
};

// What of a step's numbers a record decides about. Constants were met by the CPU's kernels, when the graph was replayed.
class Ranges {
 public:
  Ranges(const Step& step, const RewriteContext& context) : step_(step), context_(context) {}

  std::vector<Range> run() {
    auto bounds = kBounds.find(step_.name);
    if (bounds == kBounds.end()) return {};
    for (const Bound& bound : bounds->second)
      if (bound.overload == nullptr || bound.overload == step_.op->schema().overload_name()) add(bound);
    return std::move(ranges_);
  }

 private:
  void add(const Bound& bound) {
    const Operand& operand = step_.operands.at(bound.argument);
    switch (bound.within) {
      case Within::kRows:
        return index(operand, size(0));
      case Within::kDimension:
        return index(operand, size(step_.operands.at(1).constant.toInt()));
      case Within::kDimensions:
        return indices(operand.list);
      case Within::kUnit:
        return range(operand, 0.0, 1.0);
      case Within::kNotNegative:
        return range(operand, 0.0, std::numeric_limits<double>::infinity());
    }
  }

  int64_t size(int64_t dimension) const {
    std::vector<int64_t> shape = context_.shape(step_.operands.at(0));
    return shape.empty() ? 1 : shape.at(at::maybe_wrap_dim(dimension, static_cast<int64_t>(shape.size())));
  }

  void range(const Operand& operand, const c10::Scalar& least, const c10::Scalar& most) {
    if (operand.is_value()) ranges_.push_back({operand.value, least, most});
  }

  void index(const Operand& operand, int64_t size) { range(operand, int64_t{0}, size - 1); }

  // A mask takes as many dimensions as it has, and its places are within them.
  void indices(const std::vector<Operand>& list) {
    int64_t dimension = 0;
    for (const Operand& operand : list) {
      if (is_mask(operand)) {
        dimension += static_cast<int64_t>(context_.shape(operand).size());
        continue;
      }
      if (operand.is_value()) range(operand, -size(dimension), size(dimension) - 1);
      dimension++;
    }
  }

  bool is_mask(const Operand& operand) const {
    if (!operand.is_value() && !operand.constant.isTensor()) return false;
    at::ScalarType type =
        operand.is_value() ? context_.tape.values[operand.value].dtype : operand.constant.toTensor().scalar_type();
    return type == at::kBool || type == at::kByte;
  }

  const Step& step_;
  const RewriteContext& context_;
  std::vector<Range> ranges_;
};

class WithinBounds : public Operation {
 public:
  WithinBounds(std::unique_ptr<Operation> operation, std::vector<Range> ranges)
      : operation_(std::move(operation)), ranges_(std::move(ranges)) {}

  void run(Frame& frame) const override {
    // PRIVACY: a number out of bounds is what it is on the CPU: the step throws, the record is found and takes no part, nobody is
    // told. The kernels never meet it.
    for (const Range& range : ranges_)
      if (!range.holds(frame.values[range.value])) throw std::out_of_range("a number lies outside of what the operator takes");
    operation_->run(frame);
  }

 private:
  std::unique_ptr<Operation> operation_;
  std::vector<Range> ranges_;
};

}  // namespace

std::unique_ptr<Operation> within_bounds(std::unique_ptr<Operation> operation, const Step& step, const RewriteContext& context) {
  std::vector<Range> ranges = Ranges(step, context).run();
  if (ranges.empty()) return operation;
  return std::make_unique<WithinBounds>(std::move(operation), std::move(ranges));
}

}  // namespace bastionlab
