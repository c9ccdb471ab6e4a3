#include "replay.h"

#include <unordered_set>

#include "dtype.h"
#include "failure.h"
#include "operators.h"
#include "storage.h"

namespace bastionlab {
namespace {

using c10::IValue;
using torch::jit::Operator;
using torch::jit::Stack;

constexpr int kMaxListDepth = 2;
constexpr int64_t kMaxListed = int64_t{1} << 40;  // sizes, strides, paddings

[[noreturn]] void malformed(const char* what) {
  throw Failure(BL_INVALID_ARGUMENT, std::string("the graph is malformed: ") + what);
}

void require(bool ok, const char* what) {
  if (!ok) malformed(what);
}

template <class T>
const T& element(const T* list, int64_t count, int64_t index, const char* what) {
  require(list != nullptr && index >= 0 && index < count, what);
  return list[index];
}

std::string text(const char* given) {
  require(given != nullptr, "a text is missing");
  return given;
}

at::Tensor read_tensor(const bl_tensor_view& view) {
  at::ScalarType type = scalar_type(view.dtype);
  require(view.rank >= 0 && view.rank <= 16 && (view.rank == 0 || view.shape != nullptr), "a tensor's rank");
  size_t bytes = c10::elementSize(type);
  for (int32_t d = 0; d < view.rank; d++)
    require(view.shape[d] >= 0 && !__builtin_mul_overflow(bytes, static_cast<size_t>(view.shape[d]), &bytes), "a tensor's shape");
  at::IntArrayRef shape(view.shape, view.rank);
  require(bytes == view.bytes && (bytes == 0 || view.data != nullptr), "a tensor's size");
  if (bytes == 0) return at::empty(shape, type);
  // Nothing writes to it: what a step may change in place does not get through `operator_of`.
  at::Tensor tensor = at::from_blob(const_cast<void*>(view.data), shape, type);
  return reinterpret_cast<uintptr_t>(view.data) % c10::elementSize(type) == 0 ? tensor : tensor.clone();
}

class Replay {
 public:
  Replay(const bl_graph& graph, const Schema& schema, const Judge& judge) : graph_(graph), judge_(judge) {
    for (int64_t i = 0; i < graph.n_tensors; i++)
      tensors_.push_back(read_tensor(element(graph.tensors, graph.n_tensors, i, "a tensor")));
    for (size_t i = 0; i < schema.inputs.size(); i++) {
      std::vector<int64_t> shape{1};
      shape.insert(shape.end(), schema.inputs[i].shape.begin(), schema.inputs[i].shape.end());
      out_.tape.inputs.push_back(
          add(at::zeros(shape, schema.inputs[i].dtype), Origin::kInput, static_cast<int>(i)));  // [1, *shape]
    }
    for (int64_t i = 0; i < graph.n_parameters; i++) parameter(element(graph.parameters, graph.n_parameters, i, "a parameter"));
  }

  Replayed run() {
    for (int64_t i = 0; i < graph_.n_steps; i++) {
      const bl_graph_step& step = element(graph_.steps, graph_.n_steps, i, "a step");
      try {
        run(step);
      } catch (Failure& failure) {
        if (failure.op.empty()) failure.op = text(step.op);
        if (failure.layer.empty()) failure.layer = text(step.layer);
        throw;
      } catch (const std::exception& e) {
        if (is_out_of_memory(e)) throw;
        throw Failure(BL_FORWARD_FAILED, first_line(e.what()), text(step.op), text(step.layer));
      }
    }
    require(next_operand_ == graph_.n_operands, "there are more operands than steps take");
    out_.tape.output = value(graph_.output);
    out_.tape.output_name = text(graph_.output_name);
    drop_unused(out_.tape);
    return std::move(out_);
  }

 private:
  ValueId add(const at::Tensor& tensor, Origin origin, int index) {
    require(!tensor.defined() || within_storage(tensor), "a result reaches beyond its memory");
    if (!tensor.defined())
      out_.tape.values.push_back({origin, index, {0}, at::kFloat});  // a result that there is not; nothing may read it
    else
      out_.tape.values.push_back({origin, index, tensor.sizes().vec(), tensor.scalar_type()});
    live_.push_back(tensor);
    if (tensor.defined()) varying_.insert(tensor.unsafeGetTensorImpl());
    return static_cast<ValueId>(live_.size()) - 1;
  }

  void parameter(const bl_graph_parameter& given) {
    at::Tensor tensor = element(tensors_.data(), graph_.n_tensors, given.tensor, "a parameter's tensor");
    std::string name = text(given.name);
    if (given.trainable != 0) {
      require(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble, "a trainable parameter's type");
      require(tensor.numel() > 0, "a trainable parameter is empty");
      // One that is also a constant would be trained here and stand still there.
      require(trainable_.insert(given.tensor).second, "two parameters start from one tensor");
    }
    out_.parameters.push_back({name, tensor, given.trainable != 0});
    if (given.trainable != 0) add(tensor.detach(), Origin::kParameter, static_cast<int>(out_.parameters.size()) - 1);
  }

  ValueId value(int64_t number) const {
    require(number >= 0 && number < static_cast<int64_t>(live_.size()) && live_[number].defined(),
            "it refers to a value that there is not");
    return static_cast<ValueId>(number);
  }

  void run(const bl_graph_step& given) {
    Step step{nullptr, text(given.op), text(given.layer), {}, {}};
    step.op = operator_of(step.name, text(given.overload), step.layer);
    const auto& arguments = step.op->schema().arguments();
    require(given.n_operands == static_cast<int64_t>(arguments.size()), "an operator has another number of arguments");
    Stack stack;
    for (size_t i = 0; i < arguments.size(); i++) {
      step.operands.push_back(operand(arguments[i].type(), 0));
      stack.push_back(argument(step.operands[i], arguments[i].type(), [&](ValueId id) { return live_[id]; }));
      check_enumeration(arguments[i], stack[i]);
    }
    step.op->schema().checkAndNormalizeInputs<c10::Type>(stack);  // throws where the types differ
    judge_.use_allowed(*step.op, stack, step.layer,
                       [&](const at::Tensor& tensor) { return varying_.contains(tensor.unsafeGetTensorImpl()); });
    // What does not vary is a constant, and constants are tensors of the graph.
    bool varies = is_random(*step.op);
    for_each_value(step.operands, [&](ValueId&) { varies = true; });
    require(varies, "a step computes a constant");
    step.op->getOperation()(stack);
    for (const at::Tensor& result : tensors_of(stack)) step.results.push_back(add(result, Origin::kStep, 0));
    require(given.n_results == static_cast<int64_t>(step.results.size()), "a step gives another number of results");
    out_.tape.steps.push_back(std::move(step));
  }

  // SECURITY: what the table does not name, gives anything but tensors, or writes into an argument is no part of a graph.
  std::shared_ptr<Operator> operator_of(const std::string& name, const std::string& overload, const std::string& layer) const {
    judge_.operator_allowed(name, layer);
    std::shared_ptr<Operator> op = torch::jit::findOperatorFor({name, overload});
    require(op != nullptr, "libtorch does not know an operator");
    require(gives_tensors(*op) && !op->schema().is_mutable() && !op->schema().is_vararg(),
            "an operator does more than to give tensors");
    return op;
  }

  // Enumerations are integers to the interpreter, and libtorch looks them up in tables without asking how long these are.
  static void check_enumeration(const c10::Argument& argument, const IValue& value) {
    if (!value.isInt()) return;
    int64_t n = value.toInt();
    c10::TypePtr type = argument.real_type();
    if (type->kind() == c10::TypeKind::OptionalType) type = type->expectRef<c10::OptionalType>().getElementType();
    if (type->kind() == c10::TypeKind::ScalarTypeType) require(n >= 0 && n <= static_cast<int64_t>(at::kBFloat16), "a data type");
    if (type->kind() == c10::TypeKind::MemoryFormatType)
      require(n >= 0 && n <= static_cast<int64_t>(at::MemoryFormat::ChannelsLast3d), "a memory format");
    if (type->kind() == c10::TypeKind::LayoutType) require(n == static_cast<int64_t>(at::kStrided), "a layout");
  }

  Operand operand(const c10::TypePtr& type, int depth) {
    const bl_operand& given = element(graph_.operands, graph_.n_operands, next_operand_++, "an operand is missing");
    Operand out;
    switch (given.kind) {
      case BL_NONE:
        break;
      case BL_VALUE:
        out.value = value(given.integer);
        break;
      case BL_TENSOR:
        require(!trainable_.contains(given.integer), "a trainable parameter is used as a constant");
        out.constant = element(tensors_.data(), graph_.n_tensors, given.integer, "it refers to a tensor that there is not");
        break;
      case BL_BOOLEAN:
        out.constant = given.integer != 0;
        break;
      case BL_INTEGER:
        out.constant = given.integer;
        break;
      case BL_REAL:
        out.constant = given.real;
        break;
      case BL_TEXT:
        out.constant = text(given.text);
        break;
      case BL_DEVICE:
        out.constant = c10::Device(c10::kCPU);
        break;
      case BL_LIST:
        return list(element_type(type), given.integer, depth);
      default:
        malformed("an operand of no kind");
    }
    return out;
  }

  Operand list(const c10::TypePtr& type, int64_t elements, int depth) {
    require(type != nullptr && depth < kMaxListDepth, "a list where none is due");
    require(elements >= 0 && elements <= graph_.n_operands, "a list's length");
    Operand out;
    for (int64_t i = 0; i < elements; i++) out.list.push_back(operand(type, depth + 1));
    bool of_tensors = type->isSubtypeOf(*c10::TensorType::get()) || type->isSubtypeOf(*c10::OptionalType::ofTensor());
    if (of_tensors && !out.list.empty()) return out;
    // A list of numbers is one constant.
    c10::impl::GenericList constant(type);
    for (const Operand& part : out.list) {
      require(part.is_constant(), "a list of numbers holds a value");
      require(!part.constant.isInt() || std::abs(part.constant.toInt()) <= kMaxListed, "a number of a list is beyond all sizes");
      constant.push_back(part.constant);
    }
    return {kNone, {}, constant};
  }

  const bl_graph& graph_;
  const Judge& judge_;
  std::vector<at::Tensor> tensors_;
  std::unordered_set<int64_t> trainable_;  // their tensors
  std::vector<at::Tensor> live_;           // by ValueId, for one record of zeros
  std::unordered_set<const c10::TensorImpl*> varying_;
  int64_t next_operand_ = 0;
  Replayed out_;
};

}  // namespace

Replayed replay(const bl_graph& graph, const Schema& schema, const Judge& judge) {
  torch::NoGradGuard no_grad;
  return Replay(graph, schema, judge).run();
}

}  // namespace bastionlab
