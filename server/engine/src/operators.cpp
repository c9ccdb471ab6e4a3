#include "operators.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace bastionlab {
namespace {

using Names = std::unordered_set<std::string_view>;
using torch::jit::Operator;

// SECURITY: nothing may stand here whose result depends on what a tensor holds.
const Names kMetadata = {
    "aten::size",       "aten::dim",       "aten::numel",         "aten::is_floating_point",
    "aten::is_complex", "aten::is_signed", "aten::get_device",    "aten::element_size",
    "prim::dtype",      "prim::device",    "prim::layout",        "prim::is_cuda",
    "prim::is_cpu",     "prim::is_meta",   "prim::is_sparse",     "prim::is_quantized",
    "prim::is_mkldnn",  "prim::is_nested", "aten::is_contiguous", "aten::stride",
    "prim::type",       "prim::is_xla",    "prim::is_mps",        "prim::is_ipu",
    "prim::is_maia",    "prim::shape",     "aten::result_type",
};

const Names kMoves = {
    "aten::append", "aten::__getitem__", "aten::len",     "aten::list",      "aten::insert", "aten::pop",    "aten::clear",
    "aten::extend", "aten::add",         "aten::add_",    "aten::slice",     "aten::copy",   "aten::keys",   "aten::values",
    "aten::items",  "aten::get",         "aten::reverse", "aten::_set_item", "aten::Delete", "aten::update", "aten::setdefault",
};

const Names kPasses = {"aten::_unwrap_optional", "prim::unchecked_unwrap_optional", "prim::TupleIndex", "aten::__is__",
                       "aten::__isnot__"};

}  // namespace

bool reads_metadata(const Operator& op) {
  const std::string& name = op.schema().name();
  return kMetadata.contains(name) || (name == "aten::len" && op.schema().overload_name() == "Tensor");
}

bool moves_elements(const Operator& op) {
  if (!kMoves.contains(op.schema().name()) || op.schema().arguments().empty()) return false;
  c10::TypeKind kind = op.schema().arguments()[0].type()->kind();
  if (op.schema().name() == "aten::__contains__") return kind == c10::TypeKind::DictType;
  return kind == c10::TypeKind::ListType || kind == c10::TypeKind::DictType;
}

bool passes_through(const Operator& op) { return kPasses.contains(op.schema().name()); }

bool is_random(const Operator& op) {
  auto tags = op.getTags();
  return op.isC10Op() && std::find(tags.begin(), tags.end(), at::Tag::nondeterministic_seeded) != tags.end();
}

// SECURITY: prod's gradient asks whether any number of the tensor is zero; an empty slot is all zeros, and the two ways differ
// where the product underflows. What else was tried stands in tests/zoo/expressions.py.
bool looks_at_all(const Operator& op) { return op.schema().name() == "aten::prod"; }

bool gives_tensors(const Operator& op) {
  if (!op.isC10Op()) return false;
  for (const c10::Argument& result : op.schema().returns()) {
    if (!result.type()->isSubtypeOf(*c10::TensorType::get()) && !result.type()->isSubtypeOf(*c10::ListType::ofTensors()))
      return false;
  }
  return !op.schema().returns().empty();
}

int written_argument(const Operator& op) {
  const auto& arguments = op.schema().arguments();
  for (size_t i = 0; i < arguments.size(); i++)
    if (arguments[i].alias_info() != nullptr && arguments[i].alias_info()->isWrite()) return static_cast<int>(i);
  return -1;
}

}  // namespace bastionlab
