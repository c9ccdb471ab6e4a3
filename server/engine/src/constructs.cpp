#include "constructs.h"

namespace bastionlab {
namespace {

namespace prim = c10::prim;
using c10::IValue;
using torch::jit::Node;
using torch::jit::Stack;

std::vector<IValue> take(Stack& stack, size_t n) {
  std::vector<IValue> out(std::make_move_iterator(stack.end() - n), std::make_move_iterator(stack.end()));
  stack.resize(stack.size() - n);
  return out;
}

IValue make_list(const Node* node, std::vector<IValue> elements) {
  c10::impl::GenericList list(node->output()->type()->expectRef<c10::ListType>().getElementType());
  list.reserve(elements.size());
  for (IValue& element : elements) list.push_back(std::move(element));
  return list;
}

IValue make_dict(const Node* node, const std::vector<IValue>& entries) {
  const auto& type = node->output()->type()->expectRef<c10::DictType>();
  c10::impl::GenericDict dict(type.getKeyType(), type.getValueType());
  for (size_t i = 0; i + 1 < entries.size(); i += 2) dict.insert_or_assign(entries[i], entries[i + 1]);
  return dict;
}

IValue make_tuple(const Node* node, std::vector<IValue> elements) {
  auto type = node->output()->type()->expect<c10::TupleType>();
  if (type->name().has_value()) return c10::ivalue::Tuple::createNamed(std::move(elements), type);
  return c10::ivalue::Tuple::create(std::move(elements));
}

bool is_instance(const Node* node, const IValue& value) {
  c10::TypePtr type = value.type();
  for (const c10::TypePtr& candidate : node->tys(c10::attr::types))
    if (type->isSubtypeOf(*candidate)) return true;
  return false;
}

IValue make_object(const Node* node) {
  auto type = node->output()->type()->expect<c10::ClassType>();
  return c10::ivalue::Object::create(c10::StrongTypePtr(type->compilation_unit(), type), type->numAttributes());
}

}  // namespace

bool run_construct(const Node* node, Stack& stack) {
  std::vector<IValue> inputs;
  auto kind = node->kind();
  bool is_one = kind == prim::ListConstruct || kind == prim::DictConstruct || kind == prim::TupleConstruct ||
                kind == prim::TupleUnpack || kind == prim::ListUnpack || kind == prim::TupleSlice || kind == prim::isinstance ||
                kind == prim::CreateObject || kind == prim::unchecked_cast || kind == prim::Uninitialized;
  if (!is_one) return false;
  inputs = take(stack, node->inputs().size());
  if (kind == prim::ListConstruct) {
    stack.push_back(make_list(node, std::move(inputs)));
  } else if (kind == prim::DictConstruct) {
    stack.push_back(make_dict(node, inputs));
  } else if (kind == prim::TupleConstruct) {
    stack.push_back(make_tuple(node, std::move(inputs)));
  } else if (kind == prim::TupleUnpack) {
    for (const IValue& element : inputs.at(0).toTupleRef().elements()) stack.push_back(element);
  } else if (kind == prim::ListUnpack) {
    auto elements = inputs.at(0).toListRef();
    TORCH_CHECK(elements.size() == node->outputs().size(), "a list of ", elements.size(), " elements is taken apart into ",
                node->outputs().size());
    for (const IValue& element : elements) stack.push_back(element);
  } else if (kind == prim::TupleSlice) {
    const auto& elements = inputs.at(0).toTupleRef().elements();
    std::vector<IValue> slice;
    for (int64_t i = node->i(c10::attr::beg); i < node->i(c10::attr::end); i++) slice.push_back(elements.at(i));
    stack.push_back(c10::ivalue::Tuple::create(std::move(slice)));
  } else if (kind == prim::isinstance) {
    stack.push_back(is_instance(node, inputs.at(0)));
  } else if (kind == prim::CreateObject) {
    stack.push_back(make_object(node));
  } else if (kind == prim::unchecked_cast) {
    stack.push_back(std::move(inputs.at(0)));
  } else {
    stack.push_back(IValue::uninitialized());
  }
  return true;
}

}  // namespace bastionlab
