#include "norms.h"

#include "blocks.h"
#include "dense.h"
#include "factors.h"
#include "outer.h"
#include "rows.h"
#include "tied.h"

namespace bastionlab {
namespace {

using Uses = std::vector<std::unique_ptr<Form>>;

constexpr double kSumSlack = 0x1p-40;  // of a sum of 2^12 terms in float64

// out += the gradient of one record, whatever its uses are kept as.
void sum_up(const Uses& uses, int64_t slot, at::Tensor& out) {
  for (const auto& use : uses) use->add_to(slot, out);
}

// A parameter used more than once: its gradient is the sum of its uses', and the norm of a sum is not the sum of norms. It is
// written out for one record at a time.
at::Tensor norms_of_sums(const Uses& uses, const at::Tensor& parameter, int64_t slots) {
  if (auto squares = tied_table_squares(uses)) return *squares;
  at::TensorOptions doubles = parameter.options().dtype(at::kDouble);
  at::Tensor squares = at::empty({slots}, doubles);
  at::Tensor gradient = at::empty(parameter.sizes(), doubles);
  for (int64_t slot = 0; slot < slots; slot++) {
    sum_up(uses, slot, gradient.zero_());
    squares.select(0, slot).copy_(row_squares(gradient.view({1, -1})).select(0, 0));
  }
  at::Tensor spread = at::zeros({slots}, doubles);
  for (const auto& use : uses) spread.add_(use->spread());
  return squares.sqrt_().add_(spread, kSumSlack).square_();
}

template <class F>
void join(Uses& uses) {
  std::vector<F*> same;
  for (auto& use : uses)
    if (auto* form = dynamic_cast<F*>(use.get())) same.push_back(form);
  if (same.size() < 2) return;
  std::unique_ptr<Form> joined = F::joined(same);
  if (joined == nullptr) return;
  std::erase_if(uses, [](const auto& use) { return dynamic_cast<F*>(use.get()) != nullptr; });
  uses.push_back(std::move(joined));
}

// PRIVACY: each form is rounded to the grid by itself, and the grid's part of eta covers kMostForms of them.
void write_out(Uses& uses, const at::Tensor& parameter, int64_t slots) {
  std::vector<int64_t> shape = parameter.sizes().vec();
  shape.insert(shape.begin(), slots);
  at::Tensor gradients = at::zeros(shape, parameter.options().dtype(at::kDouble));  // [B, *parameter]
  for (int64_t slot = 0; slot < slots; slot++) {
    at::Tensor gradient = gradients.select(0, slot);
    sum_up(uses, slot, gradient);
  }
  uses.clear();
  uses.push_back(std::make_unique<Dense>(std::move(gradients)));
}

// A normal number in float32, and so is its product with any number that is not far below what counts.
constexpr double kSmallestFactor = 1e-30;

// Far enough below the largest number of the type that no sum over a pass reaches it.
double largest_number(at::ScalarType type) { return type == at::kDouble ? 1e280 : 1e30; }

}  // namespace

void join_uses(Measured& measured, const std::vector<at::Tensor>& parameters, int64_t slots) {
  for (size_t p = 0; p < measured.size(); p++) {
    Uses& uses = measured[p];
    join<Outer>(uses);  // may give a Dense
    join<Rows>(uses);
    join<Dense>(uses);
    if (static_cast<int64_t>(uses.size()) > kMostForms) write_out(uses, parameters[p], slots);
  }
}

std::vector<at::Tensor> written_out(Measured& measured, const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (size_t p = 0; p < measured.size(); p++) {
    gradients.push_back(at::zeros(parameters[p].sizes(), parameters[p].options().dtype(at::kDouble)));
    sum_up(measured[p], 0, gradients.back());
    measured[p].clear();
  }
  return gradients;
}

double norm_of(const std::vector<at::Tensor>& gradients) {
  double squares = 0;
  for (const at::Tensor& gradient : gradients) squares += gradient.square().sum().item<double>();
  return std::sqrt(squares);
}

at::Tensor clip_factors(const Measured& measured, const std::vector<at::Tensor>& parameters, const at::Tensor& counts,
                        std::optional<double> clipping_norm) {
  int64_t slots = counts.size(0);
  at::TensorOptions doubles = counts.options().dtype(at::kDouble);
  at::Tensor squares = at::zeros({slots}, doubles), spread = at::zeros({slots}, doubles);
  double largest = largest_spread(at::kDouble), limit = largest_number(at::kDouble);
  for (size_t p = 0; p < measured.size(); p++) {
    const Uses& uses = measured[p];
    if (uses.size() == 1) squares.add_(uses[0]->squared_norms());
    if (uses.size() > 1) squares.add_(norms_of_sums(uses, parameters[p], slots));
    // PRIVACY: errors of a parameter's uses meet in the same coordinates and may add up.
    at::Tensor of_parameter = at::zeros({slots}, doubles);
    for (const auto& use : uses) of_parameter.add_(use->spread());
    spread.add_(of_parameter.square());
    largest = std::min(largest, largest_spread(parameters[p].scalar_type()));
    limit = std::min(limit, largest_number(parameters[p].scalar_type()));
  }
  at::Tensor norms = squares.sqrt();
  spread.sqrt_();
  at::Tensor factors = at::ones({slots}, doubles);
  if (clipping_norm.has_value()) {
    factors = at::full({slots}, *clipping_norm, doubles).div_(at::maximum(norms, spread.div(largest))).clamp_max_(1);
  }
  // PRIVACY: what is not finite, or would not stay so while it is summed, contributes nothing at all.
  at::Tensor sound = norms.isfinite().logical_and_(at::maximum(norms, spread).mul(factors).le(limit)).logical_and_(counts);
  // PRIVACY: some forms take the factor in float32, others in float64. One that is zero in the first would leave half of two uses
  // that cancel.
  sound = sound.logical_and_(factors.ge(kSmallestFactor));
  return factors.masked_fill_(sound.logical_not(), 0);
}

}  // namespace bastionlab
