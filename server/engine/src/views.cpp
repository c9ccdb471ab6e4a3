#include "views.h"

#include <algorithm>
#include <set>

#include "failure.h"
#include "lower.h"

namespace bastionlab {
namespace {

using c10::IValue;
using torch::jit::Stack;

const std::set<std::string> kSameElements = {"aten::view",      "aten::reshape",    "aten::flatten",    "aten::squeeze",
                                             "aten::unsqueeze", "aten::view_as",    "aten::reshape_as", "aten::_unsafe_view",
                                             "aten::unflatten", "aten::contiguous", "aten::alias",      "aten::ravel"};
const std::set<std::string> kTransposes = {"aten::transpose", "aten::swapaxes", "aten::swapdims"};

int64_t within(int64_t index, int64_t size) { return std::clamp<int64_t>(index < 0 ? index + size : index, 0, size); }

}  // namespace

void Views::note(const torch::jit::Operator& op, const Stack& arguments, const Stack& results) {
  if (arguments.empty() || !arguments[0].isTensor() || !arguments[0].toTensor().defined()) return;
  if (op.schema().name().rfind("aten::unsafe_", 0) == 0) return;  // whoever calls these promises not to look at the whole again
  const at::Tensor& base = arguments[0].toTensor();
  auto remember = [&](const at::Tensor& result, int64_t element) {
    if (!result.defined() || result.is_same(base) || !result.has_storage() || !base.has_storage() || !result.is_alias_of(base))
      return;
    views_[result.unsafeGetTensorImpl()] = {result, base, &op, arguments, element};
    of_[base.unsafeGetTensorImpl()].push_back(result.unsafeGetTensorImpl());
  };
  for (const IValue& value : results) {
    if (value.isTensor()) remember(value.toTensor(), -1);
    if (!value.isTensorList()) continue;
    auto elements = value.toTensorVector();
    for (size_t i = 0; i < elements.size(); i++) remember(elements[i], static_cast<int64_t>(i));
  }
}

bool Views::is_entangled(const at::Tensor& tensor) const {
  return views_.contains(tensor.unsafeGetTensorImpl()) || of_.contains(tensor.unsafeGetTensorImpl());
}

void Views::change(const at::Tensor& changed, const at::Tensor& now, Emitter& emit) {
  auto found = views_.find(changed.unsafeGetTensorImpl());
  std::optional<at::Tensor> base_now;
  if (found != views_.end()) base_now = written_back(found->second, now, emit);
  emit.transcript().rebind(changed, now);
  renew_views_of(changed, {}, emit);
  if (!base_now) return;
  at::Tensor base = found->second.base;
  // The base changes the same way; of its views this one is up to date already.
  auto above = views_.find(base.unsafeGetTensorImpl());
  if (above != views_.end()) {
    change(base, *base_now, emit);
  } else {
    emit.transcript().rebind(base, *base_now);
    renew_views_of(base, changed, emit);
  }
}

void Views::renew_views_of(const at::Tensor& base, const at::Tensor& except, Emitter& emit) {
  auto found = of_.find(base.unsafeGetTensorImpl());
  if (found == of_.end()) return;
  for (const c10::TensorImpl* impl : std::vector<const c10::TensorImpl*>(found->second)) {
    const View view = views_.at(impl);
    if (except.defined() && view.self.is_same(except)) continue;
    IValue renewed = emit(*view.op, view.arguments);
    emit.transcript().rebind(view.self, view.element < 0 ? renewed.toTensor() : renewed.toTensorVector().at(view.element));
    renew_views_of(view.self, {}, emit);
  }
}

// What the base holds once its view holds `now`.
at::Tensor Views::written_back(const View& view, const at::Tensor& now, Emitter& emit) const {
  const std::string& name = view.op->schema().name();
  const Stack& a = view.arguments;
  const at::Tensor& base = view.base;
  auto dimension = [&](const IValue& dim) { return at::maybe_wrap_dim(dim.toInt(), base.dim()); };
  auto slice = [&](int64_t dim, int64_t start, int64_t end, int64_t step) {
    return emit.tensor("aten::slice_scatter", "", {base, now, dim, start, end, step});
  };
  if (name == "aten::select" && a.at(1).isInt()) return select_scatter(base, now, a.at(1).toInt(), a.at(2).toInt(), emit);
  if (name == "aten::slice") {
    int64_t dim = dimension(a.at(1)), size = base.size(dim);
    return slice(dim, within(a.at(2).isNone() ? 0 : a.at(2).toInt(), size), within(a.at(3).isNone() ? size : a.at(3).toInt(), size),
                 a.at(4).toInt());
  }
  if (name == "aten::narrow" && a.at(2).isInt()) {
    int64_t dim = dimension(a.at(1)), start = within(a.at(2).toInt(), base.size(dim));
    return slice(dim, start, start + a.at(3).toInt(), 1);
  }
  if (name == "aten::diagonal") return emit.tensor("aten::diagonal_scatter", "", {base, now, a.at(1), a.at(2), a.at(3)});
  if (name == "aten::unbind") return select_scatter(base, now, a.at(1).toInt(), view.element, emit);
  if (name == "aten::t" || name == "aten::numpy_T") return emit.tensor("aten::t", "", {now});
  if (kTransposes.contains(name) && a.at(1).isInt()) return emit.tensor("aten::transpose", "int", {now, a.at(1), a.at(2)});
  if (name == "aten::permute") {
    std::vector<int64_t> inverse(base.dim());
    for (int64_t i = 0; i < base.dim(); i++) inverse[at::maybe_wrap_dim(a.at(1).toIntVector()[i], base.dim())] = i;
    return emit.tensor("aten::permute", "", {now, inverse});
  }
  if (kSameElements.contains(name)) return emit.tensor("aten::reshape", "", {now, base.sizes().vec()});
  throw Failure(BL_INCOMPATIBLE_MODEL, "it changes in place a view of another tensor, made by " + name + "; clone it before", name);
}

}  // namespace bastionlab
