#include "start.h"

#include "device.h"
#include "failure.h"

namespace bastionlab {
namespace {

constexpr int32_t kMaxThreads = 1024;

// PRIVACY: a warning may quote a tensor, and the log is not the owner's.
class Silence : public c10::WarningHandler {
 public:
  void process(const c10::Warning&) override {}
};

// A little of everything a model does, so that CPU detection, oneDNN, BLAS, the thread pools and autograd's threads are up, and
// what a device has of the kind.
void warm_up(c10::Device device) {
  torch::AutoGradMode grad_mode(true);
  for (at::ScalarType type : {at::kFloat, at::kDouble}) {
    auto random = [&](at::IntArrayRef shape) { return at::rand(shape, at::device(device).dtype(type)); };
    at::Tensor image = random({2, 4, 16, 16}).requires_grad_(true), kernel = random({4, 4, 3, 3});
    at::Tensor x = random({64, 256}).requires_grad_(true), w = random({256, 256});
    at::Tensor q = random({2, 2, 8, 16}).requires_grad_(true);
    at::Tensor loss = at::conv2d(image, kernel).sum() + at::gelu(at::linear(x, w)).softmax(-1).sum() +
                      at::dropout(x, 0.1, true).sum() + at::layer_norm(x, {256}).sum() + at::group_norm(image, 2).sum() +
                      at::scaled_dot_product_attention(q, q, q).sum() + at::bmm(q.flatten(0, 1), q.flatten(0, 1).mT()).sum();
    loss.backward();
  }
  at::rand({1 << 20}, at::device(device)).sort();
  // Large enough for the buffers that a driver makes for its first copies.
  if (!device.is_cpu()) on_host(at::zeros({1 << 24}).to(device));
}

}  // namespace

void prepare_thread() {
  static Silence silence;
  c10::WarningUtils::set_warning_handler(&silence);
  at::parallel_for(0, at::get_num_threads(), 1, [](int64_t, int64_t) { at::globalContext().setFlushDenormal(true); });
  at::globalContext().setFlushDenormal(true);
}

void start(int32_t threads, c10::Device device) {
  if (threads < 1 || threads > kMaxThreads) throw Failure(BL_INVALID_ARGUMENT, "threads must be between 1 and 1024");
  prepare_thread();
  at::set_num_threads(threads);
  if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);
  configure_device(device);
  // Dropout of a run must not be that of another; libtorch's generators begin with a fixed seed.
  for (c10::Device of : {c10::Device(at::kCPU), device}) at::Generator(at::globalContext().defaultGenerator(of)).seed();
  prepare_thread();  // once more, for the pool
  warm_up(device);
}

}  // namespace bastionlab
