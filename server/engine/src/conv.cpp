// Convolutions of one to three dimensions. A convolution is a linear map of patches, group by group, so what is recorded of it is
// what is recorded of one: the input, whose patches are laid out when the output's gradient is known.
#include <cstring>

#include "dense.h"
#include "operations.h"
#include "outer.h"

namespace bastionlab {
namespace {

using Sizes = std::vector<int64_t>;

struct Geometry {
  Sizes stride, padding, padding_after, dilation;  // one per spatial dimension; padding may differ on the two sides
  int64_t groups;

  bool even() const { return padding == padding_after; }
  // Pads both sides as constant_pad_nd wants it: the last dimension first.
  at::Tensor padded(const at::Tensor& x) const {
    Sizes pad;
    for (size_t d = padding.size(); d-- > 0;) {
      pad.push_back(padding[d]);
      pad.push_back(padding_after[d]);
    }
    return at::constant_pad_nd(x, pad);
  }
};

// All that the kernel meets at each place of the output.  // [M, C, ...] -> [M, groups, T, C/groups K]
at::Tensor patches(const at::Tensor& input, const Geometry& geometry, at::IntArrayRef kernel, at::IntArrayRef places) {
  at::Tensor x = geometry.padded(input).contiguous();
  size_t n = kernel.size();
  Sizes sizes{x.size(0), geometry.groups, x.size(1) / geometry.groups},
      strides{x.stride(0), x.size(1) / geometry.groups * x.stride(1), x.stride(1)};
  for (size_t d = 0; d < n; d++) {
    sizes.insert(sizes.begin() + 2 + d, places[d]);
    strides.insert(strides.begin() + 2 + d, x.stride(2 + d) * geometry.stride[d]);
  }
  for (size_t d = 0; d < n; d++) {
    sizes.push_back(kernel[d]);
    strides.push_back(x.stride(2 + d) * geometry.dilation[d]);
  }
  at::Tensor view = x.as_strided(sizes, strides);  // [M, groups, *places, C/groups, *kernel]
  int64_t width = x.size(1) / geometry.groups * c10::multiply_integers(kernel);
  return view.reshape({x.size(0), geometry.groups, c10::multiply_integers(places), width});
}

class Convolution : public Operation {
 public:
  Convolution(const Step& step, Weight kernel, Weight bias, Geometry geometry, bool has_batch)
      : input_(step.operands.at(0)),
        kernel_(std::move(kernel)),
        bias_(std::move(bias)),
        geometry_(std::move(geometry)),
        has_batch_(has_batch),
        result_(step.results.at(0)) {}

  void run(Frame& frame) const override {
    at::Tensor x = in_all_slots(input_, frame);  // [B, N, C, ...] or [B, C, ...]
    int64_t slots = frame.slots;
    if (has_batch_) x = x.flatten(0, 1);  // [B N, C, ...]
    at::Tensor w = kernel_.get(frame), b = bias_.get(frame);
    at::Tensor input = geometry_.even() ? x : geometry_.padded(x);
    at::Tensor y = at::convolution(input, w, b.defined() ? std::make_optional(b) : std::nullopt, geometry_.stride,
                                   geometry_.even() ? geometry_.padding : Sizes(geometry_.padding.size(), 0), geometry_.dilation,
                                   /*transposed=*/false, Sizes(geometry_.padding.size(), 0), geometry_.groups);
    if (kernel_.trainable() || bias_.trainable())
      frame.record(y, [x = x.detach(), size = Sizes(w.sizes().begin() + 2, w.sizes().end()), k = kernel_.parameter,
                       b = bias_.parameter, geometry = geometry_, slots](const at::Tensor& g, Measured& out) {
        if (b >= 0) out[b].push_back(std::make_unique<Dense>(g.reshape({slots, -1, g.size(1), g[0][0].numel()}).sum({1, 3})));
        if (k < 0) return;
        int64_t groups = geometry.groups;
        at::Tensor left = g.reshape({slots, -1, groups, g.size(1) / groups, g[0][0].numel()});  // [B, N, groups, m, T]
        left = left.permute({0, 2, 1, 4, 3}).flatten(2, 3);                                     // [B, groups, N T, m]
        at::Tensor right = patches(x, geometry, size, g.sizes().slice(2));                      // [B N, groups, T, n]
        right = right.view({slots, -1, groups, right.size(2), right.size(3)}).transpose(1, 2).flatten(2, 3);  // [B, groups, N T, n]
        out[k].push_back(make_outer(std::move(left), std::move(right)));
      });
    if (has_batch_) {
      Sizes shape = y.sizes().vec();
      shape[0] /= slots;
      shape.insert(shape.begin(), slots);
      y = y.view(shape);
    }
    frame.values[result_] = std::move(y);
  }

 private:
  Operand input_;
  Weight kernel_, bias_;
  Geometry geometry_;
  bool has_batch_;
  ValueId result_;
};

Sizes per_dimension(const c10::IValue& value, size_t n) {
  Sizes out = value.toIntVector();
  return out.size() == 1 ? Sizes(n, out[0]) : out;
}

// "same" pads so that the output is as large as the input, the odd one behind; "valid" not at all.
void pad_by_name(Geometry& geometry, const std::string& name, const Sizes& kernel) {
  for (size_t d = 0; d < kernel.size(); d++) {
    int64_t total = name == "same" ? geometry.dilation[d] * (kernel[d] - 1) : 0;
    geometry.padding.push_back(total / 2);
    geometry.padding_after.push_back(total - total / 2);
  }
}

}  // namespace

std::unique_ptr<Operation> make_conv(const Step& step, const RewriteContext& context) {
  const auto& operands = step.operands;
  if (context.parameter(operands.at(0)) >= 0 || !context.is_weight(operands.at(1)) || !context.is_weight(operands.at(2)))
    return nullptr;
  Sizes kernel = context.shape(operands[1]);
  if (kernel.size() < 3 || kernel.size() > 5) return nullptr;
  size_t n = kernel.size() - 2;
  kernel.erase(kernel.begin(), kernel.begin() + 2);
  bool general = step.name == "aten::convolution" || step.name == "aten::_convolution";
  if (general && operands.at(6).constant.toBool()) return nullptr;  // transposed
  Geometry geometry{per_dimension(operands.at(3).constant, n),
                    {},
                    {},
                    per_dimension(operands.at(5).constant, n),
                    operands.at(general ? 8 : 6).constant.toInt()};
  if (operands.at(4).constant.isString()) {
    pad_by_name(geometry, operands[4].constant.toStringRef(), kernel);
  } else {
    geometry.padding = geometry.padding_after = per_dimension(operands[4].constant, n);
  }
  size_t rank = context.shape(operands[0]).size();
  if (rank != n + 1 && rank != n + 2) return nullptr;
  return std::make_unique<Convolution>(step, weight(operands[1], context), weight(operands[2], context), std::move(geometry),
                                       rank == n + 2);
}

}  // namespace bastionlab
