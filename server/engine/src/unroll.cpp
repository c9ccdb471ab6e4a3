#include "unroll.h"

#include "constructs.h"
#include "evaluator.h"
#include "failure.h"
#include "signature.h"

namespace bastionlab {
namespace {

namespace prim = c10::prim;
using c10::IValue;
using torch::jit::Block;
using torch::jit::Node;
using torch::jit::Stack;
using torch::jit::Value;

constexpr int64_t kMaxNodes = 5'000'000;
constexpr int kMaxDepth = 200;

// The values of one call of one function.
using Scope = std::unordered_map<const Value*, IValue>;

class Unroller {
 public:
  Unroller(const Archive& archive, const Judge& judge) : archive_(archive), evaluator_(archive, judge) {}

  void introduce_input(const at::Tensor& tensor, int index) { inputs_.push_back(evaluator_.introduce_input(tensor, index)); }
  IValue call(torch::jit::Function& function, Stack arguments, const std::string& layer);
  Tape finish(const at::Tensor& output, const std::string& name);

 private:
  void run(const Block* block, Scope& scope, const std::string& layer);
  void run(const Node* node, Scope& scope, const std::string& layer);
  void run_if(const Node* node, Scope& scope, const std::string& layer);
  void run_loop(const Node* node, Scope& scope, const std::string& layer);
  void run_call(const Node* node, Scope& scope, const std::string& layer);
  void run_set_attribute(const Node* node, Scope& scope, const std::string& layer);

  const Archive& archive_;
  Evaluator evaluator_;
  std::vector<ValueId> inputs_;
  int64_t nodes_ = 0;
  int depth_ = 0;
};

IValue Unroller::call(torch::jit::Function& function, Stack arguments, const std::string& layer) {
  if (++depth_ > kMaxDepth) throw Failure(BL_INCOMPATIBLE_MODEL, "its functions call one another without end", "", layer);
  if (!function.isGraphFunction())
    throw Failure(BL_INCOMPATIBLE_MODEL, "it calls a function that is not TorchScript", function.name(), layer);
  auto graph = torch::jit::toGraphFunction(function).graph();
  Scope scope;
  TORCH_CHECK(arguments.size() == graph->inputs().size(), "expected ", graph->inputs().size(), " arguments, got ",
              arguments.size());
  for (size_t i = 0; i < arguments.size(); i++) scope[graph->inputs()[i]] = arguments[i];
  run(graph->block(), scope, layer);
  depth_--;
  return scope.at(graph->outputs().at(0));
}

void Unroller::run(const Block* block, Scope& scope, const std::string& layer) {
  for (const Node* node : block->nodes()) run(node, scope, layer);
}

void Unroller::run_if(const Node* node, Scope& scope, const std::string& layer) {
  const Block* taken = node->blocks().at(scope.at(node->input(0)).toBool() ? 0 : 1);
  run(taken, scope, layer);
  for (size_t i = 0; i < node->outputs().size(); i++) scope[node->outputs()[i]] = scope.at(taken->outputs()[i]);
}

void Unroller::run_loop(const Node* node, Scope& scope, const std::string& layer) {
  const Block* body = node->blocks().at(0);
  int64_t trips = scope.at(node->input(0)).toInt();
  bool go_on = scope.at(node->input(1)).toBool();
  std::vector<IValue> carried;
  for (size_t i = 2; i < node->inputs().size(); i++) carried.push_back(scope.at(node->input(i)));
  for (int64_t trip = 0; trip < trips && go_on; trip++) {
    scope[body->inputs()[0]] = trip;
    for (size_t i = 0; i < carried.size(); i++) scope[body->inputs()[i + 1]] = carried[i];
    run(body, scope, layer);
    go_on = scope.at(body->outputs()[0]).toBool();
    for (size_t i = 0; i < carried.size(); i++) carried[i] = scope.at(body->outputs()[i + 1]);
    if (++nodes_ > kMaxNodes) throw Failure(BL_INCOMPATIBLE_MODEL, "a loop takes too many turns", "prim::Loop", layer);
  }
  for (size_t i = 0; i < carried.size(); i++) scope[node->outputs()[i]] = carried[i];
}

void Unroller::run_call(const Node* node, Scope& scope, const std::string& layer) {
  Stack arguments;
  for (const Value* input : node->inputs()) arguments.push_back(scope.at(input));
  if (node->kind() == prim::CallFunction) {
    torch::jit::Function* function = node->input(0)->type()->expectRef<c10::FunctionType>().function();
    arguments.erase(arguments.begin());
    scope[node->output()] = call(*function, std::move(arguments), layer);
    return;
  }
  const auto& object = arguments.at(0).toObjectRef();
  auto found = archive_.layers.find(&object);
  torch::jit::Function& method = object.type()->getMethod(node->s(c10::attr::name));
  scope[node->output()] = call(method, std::move(arguments), found == archive_.layers.end() ? layer : found->second);
}

// SECURITY: an object that the program made may change; one that belongs to the module may not.
void Unroller::run_set_attribute(const Node* node, Scope& scope, const std::string& layer) {
  const IValue& object = scope.at(node->input(0));
  const std::string& name = node->s(c10::attr::name);
  if (object.type()->is_module() || evaluator_.is_protected(object.internalToPointer()))
    throw Failure(BL_INCOMPATIBLE_MODEL, "the model changes its own attribute \"" + name + "\"", "prim::SetAttr", layer);
  object.toObject()->setAttr(name, scope.at(node->input(1)));
}

void Unroller::run(const Node* node, Scope& scope, const std::string& layer) {
  if (++nodes_ > kMaxNodes) throw Failure(BL_INCOMPATIBLE_MODEL, "the model takes too many steps to unroll", "", layer);
  switch (node->kind()) {
    case prim::Constant: {
      IValue constant = node->outputs().size() == 1 && node->output()->type()->kind() != c10::TypeKind::FunctionType
                            ? torch::jit::toIValue(node->output()).value()
                            : IValue();
      // A fresh copy: the author may change it in place, and the next call would begin with the constant again.
      if (constant.isTensor() && constant.toTensor().defined()) constant = constant.toTensor().clone();
      scope[node->output()] = std::move(constant);
      return;
    }
    case prim::GetAttr:
      scope[node->output()] = scope.at(node->input(0)).toObjectRef().getAttr(node->s(c10::attr::name));
      return;
    case prim::SetAttr:
      return run_set_attribute(node, scope, layer);
    case prim::If:
      return run_if(node, scope, layer);
    case prim::Loop:
      return run_loop(node, scope, layer);
    case prim::CallFunction:
    case prim::CallMethod:
      return run_call(node, scope, layer);
    case prim::RaiseException:
      throw Failure(BL_FORWARD_FAILED, "the model raises an exception on an input of the schema's shape", "prim::RaiseException",
                    layer);
    default:
      break;
  }
  Stack stack;
  for (const Value* input : node->inputs()) stack.push_back(scope.at(input));
  try {
    if (!run_construct(node, stack)) evaluator_.run(node, stack, layer);
  } catch (Failure& failure) {
    if (failure.op.empty()) failure.op = node->kind().toQualString();
    if (failure.layer.empty()) failure.layer = layer;
    throw;
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    throw Failure(BL_FORWARD_FAILED, first_line(e.what()), node->kind().toQualString(), layer);
  }
  TORCH_CHECK(stack.size() == node->outputs().size(), "an operator left ", stack.size(), " results");
  for (size_t i = 0; i < stack.size(); i++) scope[node->outputs()[i]] = std::move(stack[i]);
}

Tape Unroller::finish(const at::Tensor& output, const std::string& name) {
  Tape& tape = evaluator_.transcript().tape();
  tape.inputs = inputs_;
  tape.output = evaluator_.transcript().value_of(output);
  tape.output_name = name;
  if (tape.output == kNone)
    throw Failure(BL_INCOMPATIBLE_MODEL, "the model's output depends on neither its input nor its parameters");
  drop_unused(tape);
  return std::move(tape);
}

Tape run_forward(const Archive& archive, const Schema& schema, const Judge& judge) {
  auto method = archive.module.find_method("forward");
  if (!method) throw Failure(BL_INCOMPATIBLE_MODEL, "the module has no method forward");
  if (!archive.module.type()->getForwardHooks().empty() || !archive.module.type()->getForwardPreHooks().empty())
    throw Failure(BL_INCOMPATIBLE_MODEL, "the module has forward hooks; call them in forward");
  const c10::FunctionSchema& forward = method->function().getSchema();
  Unroller unroller(archive, judge);
  Stack arguments{archive.module._ivalue()};
  for (size_t i = 1; i < forward.arguments().size(); i++)
    arguments.push_back(forward.arguments()[i].default_value().value_or(IValue::uninitialized()));
  std::vector<size_t> at = input_positions(forward, schema);
  for (size_t i = 0; i < schema.inputs.size(); i++) {
    std::vector<int64_t> shape{1};
    shape.insert(shape.end(), schema.inputs[i].shape.begin(), schema.inputs[i].shape.end());
    at::Tensor zeros = at::zeros(shape, schema.inputs[i].dtype);  // [1, *shape]
    unroller.introduce_input(zeros, static_cast<int>(i));
    arguments[at[i] + 1] = zeros;
  }
  for (size_t i = 1; i < arguments.size(); i++) {
    if (!forward.arguments()[i].default_value() && !arguments[i].isTensor())
      throw Failure(BL_FORWARD_FAILED, "a record has nothing for forward's argument \"" + forward.arguments()[i].name() + "\"");
  }
  auto [output, name] = output_of(unroller.call(method->function(), std::move(arguments), ""));
  if (!output.defined()) throw Failure(BL_INCOMPATIBLE_MODEL, "forward returns no tensor");
  return unroller.finish(output, name);
}

}  // namespace

Tape unroll(const Archive& archive, const Schema& schema, const Judge& judge) {
  torch::NoGradGuard no_grad;
  try {
    return run_forward(archive, schema, judge);
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    throw Failure(BL_FORWARD_FAILED, first_line(e.what()));
  }
}

}  // namespace bastionlab
