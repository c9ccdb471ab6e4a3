#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/library.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "crossing.h"
#include "device.h"
#include "memory.h"

namespace standin {
namespace {

using torch::jit::Stack;

std::atomic<bool> deadly{false};
std::atomic<int64_t> kernels{0}, copies{0};

// As a device-side assert ends a process's use of the GPU.
[[noreturn]] void die(const c10::OperatorHandle& op, const std::exception& e) {
  std::fprintf(stderr, "stand-in device: a kernel of %s failed: %.*s\n", op.schema().name().c_str(),
               static_cast<int>(std::string_view(e.what()).find('\n')), e.what());
  std::abort();
}

// The engine's threads flush what is subnormal; autograd's thread for this device is started by whoever differentiates first.
void compute_as_the_host_does() {
  thread_local bool done = at::globalContext().setFlushDenormal(true);
  (void)done;
}

// While one that draws computes, the device's generator stands where the kernel looks for the CPU's.
class Drawing {
 public:
  explicit Drawing(bool draws) : draws_(draws) {
    if (draws_) swap();
  }
  ~Drawing() {
    if (draws_) swap();
  }

 private:
  static void swap() {
    at::Generator host = at::globalContext().defaultGenerator(at::kCPU), device = generator();
    at::Tensor state = host.get_state();
    host.set_state(device.get_state());
    device.set_state(state);
  }

  bool draws_;
};

// A GPU has many operators that add in whatever order its threads come. This device has one.
void refuse_without_order(const c10::OperatorHandle& op) {
  if (op.schema().name() == "aten::avg_pool3d_backward") at::globalContext().alertNotDeterministic("avg_pool3d_backward");
}

void compute(const c10::OperatorHandle& op, Stack* stack) {
  compute_as_the_host_does();
  refuse_without_order(op);
  size_t first = stack->size() - op.schema().arguments().size();
  Crossing crossing(/*strict=*/true);
  for (size_t i = first; i < stack->size(); i++) (*stack)[i] = crossing.to_kernel((*stack)[i]);
  crossing.check();
  kernels++;
  at::AutoDispatchBelowADInplaceOrView below;
  Drawing drawing(op.hasTag(at::Tag::nondeterministic_seeded));
  try {
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  } catch (const std::exception& e) {
    if (deadly) die(op, e);
    throw;
  }
  crossing.bring_back();
  for (size_t i = stack->size() - op.schema().returns().size(); i < stack->size(); i++)
    (*stack)[i] = crossing.from_kernel((*stack)[i]);
}

// A GPU's cumulated sums of floats are added in an order of chance, and refused where that is not wanted. So are these.
void refuse_chance(const c10::OperatorHandle& op, const Stack& stack) {
  if (op.schema().name() != "aten::cumsum") return;
  at::Tensor summed = stack[stack.size() - op.schema().arguments().size()].toTensor();
  if (summed.is_floating_point()) at::globalContext().alertNotDeterministic("cumsum_kernel");
}

void any_kernel(const c10::OperatorHandle& op, c10::DispatchKeySet, Stack* stack) {
  refuse_chance(op, *stack);
  compute(op, stack);
}

c10::OperatorHandle operator_named(const char* name) { return c10::Dispatcher::singleton().findSchemaOrThrow(name, ""); }

// libtorch asks a device of a stranger for a convolution of its own.
void convolution(const c10::OperatorHandle&, c10::DispatchKeySet, Stack* stack) {
  static const c10::OperatorHandle op = operator_named("aten::convolution");
  compute(op, stack);
}

void convolution_backward(const c10::OperatorHandle& given, c10::DispatchKeySet, Stack* stack) {
  static const c10::OperatorHandle op = operator_named("aten::convolution_backward");
  size_t first = stack->size() - given.schema().arguments().size();
  std::vector<int64_t> bias{(*stack)[first].toTensor().size(1)};
  stack->insert(stack->begin() + static_cast<int64_t>(first) + 3, c10::IValue(bias));
  compute(op, stack);
}

void local_scalar(const c10::OperatorHandle& op, c10::DispatchKeySet, Stack* stack) {
  copies++;
  compute(op, stack);
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool) {
  compute_as_the_host_does();
  if (to.device().is_cpu()) copies++;
  Crossing crossing(/*strict=*/false);
  at::Tensor from = crossing.to_kernel(self), into = crossing.to_kernel(to);
  at::AutoDispatchBelowADInplaceOrView below;
  into.copy_(from);
  return to;
}

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>,
                 std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, allocator(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, allocator(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

}  // namespace

// Where the CPU has a kernel of its own, so has this device: for one that it does not know libtorch would put others together.
TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    auto op = dispatcher.findOp(name);
    auto has = [&](c10::DispatchKey key) { return op->hasKernelForDispatchKey(key); };
    bool composite = op && (has(c10::DispatchKey::CompositeExplicitAutograd) || has(c10::DispatchKey::CompositeImplicitAutograd) ||
                            has(c10::DispatchKey::CompositeExplicitAutogradNonFunctional));
    if (composite && has(c10::DispatchKey::CPU) && name.getNamespace() == "aten")
      library.impl(c10::toString(name).c_str(), torch::CppFunction::makeFromBoxedFunction<&any_kernel>());
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&any_kernel>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", TORCH_FN(empty));
  library.impl("empty_strided", TORCH_FN(empty_strided));
  library.impl("_copy_from", TORCH_FN(copy_from));
  library.impl("_local_scalar_dense", torch::CppFunction::makeFromBoxedFunction<&local_scalar>());
  library.impl("convolution_overrideable", torch::CppFunction::makeFromBoxedFunction<&convolution>());
  library.impl("convolution_backward_overrideable", torch::CppFunction::makeFromBoxedFunction<&convolution_backward>());
}

// A copy of what is conjugate is made by a copy, unless the one that copies sees to it.
TORCH_LIBRARY_IMPL(aten, Conjugate, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, Negative, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

}  // namespace standin

#define STANDIN_API extern "C" __attribute__((visibility("default")))

// From now on a kernel that fails ends the process.
STANDIN_API void standin_deadly(int on) { standin::deadly = on != 0; }
STANDIN_API int64_t standin_kernels() { return standin::kernels; }
// How often something was brought to the host.
STANDIN_API int64_t standin_copies() { return standin::copies; }
STANDIN_API int64_t standin_allocated() { return static_cast<int64_t>(standin::allocated()); }
