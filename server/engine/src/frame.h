// Frame is the state of one pass: every varying value holds all slots, slot first, and every use of a trainable parameter leaves a
// recording. A record's own batch dimension of one follows the slot dimension: an input is [B, 1, ...].
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "form.h"
#include "tape.h"

namespace bastionlab {

// The forms of each trainable parameter's per-record gradient, one for each of its uses.
using Measured = std::vector<std::vector<std::unique_ptr<Form>>>;

// What a use of parameters left in the forward pass. Once the gradient of its output is known, it becomes forms.
struct Recording {
  torch::autograd::Edge output;
  std::function<void(const at::Tensor& gradient, Measured& out)> measure;
};

struct Frame {
  c10::Device device;
  int64_t slots;
  std::vector<at::Tensor> values;             // by ValueId; undefined where not (or no longer) needed
  const std::vector<at::Tensor>& parameters;  // trainable ones as they now are, by their index among the trainable
  std::vector<uint64_t> seeds;                // by slot: what a record's random numbers are made of
  std::vector<Recording> recordings;

  // Has the gradient of `output` measured. An output that no gradient would reach by itself becomes a place where one ends.
  void record(at::Tensor& output, std::function<void(const at::Tensor&, Measured&)> measure);
};

// One step of the rewritten program.
class Operation {
 public:
  virtual ~Operation() = default;
  virtual void run(Frame& frame) const = 0;
};

// The operand as it is in all slots: a constant is repeated.  // [B, ...]
at::Tensor in_all_slots(const Operand& operand, const Frame& frame);

// SECURITY: the same numbers, each record's by themselves and without gaps or overlap. Some kernels of libtorch (median over an
// expanded dimension, fused attention over overlapping windows) read beyond tensors that lie otherwise, and beyond a record lies
// the next.
at::Tensor dense(const at::Tensor& all /* [B, ...] */);

}  // namespace bastionlab
