#include "pass.h"

#include "failure.h"

namespace bastionlab {
namespace {

using torch::autograd::Edge;
using torch::autograd::Engine;

// A step that fails is named; libtorch's words go with it only where there is no data.
void run_step(const PlannedStep& step, Frame& frame, bool has_data) {
  try {
    step.operation->run(frame);
  } catch (const std::exception& e) {
    if (has_data || is_out_of_memory(e)) throw;
    const char* where = frame.device.is_cpu() ? "" : " on a GPU";
    throw Failure(BL_INCOMPATIBLE_MODEL,
                  std::string("the operator cannot be computed") + where + " for several records at once: " + first_line(e.what()),
                  step.name, step.layer);
  }
  for (ValueId value : step.last_use) frame.values[value].reset();
}

void measure_gradients(Frame& frame, const at::Tensor& loss, Measured& out) {
  if (!loss.requires_grad() || frame.recordings.empty()) return;
  std::vector<Edge> outputs;
  for (const Recording& recording : frame.recordings) outputs.push_back(recording.output);
  auto gradients =
      Engine::get_default_engine().execute({torch::autograd::impl::gradient_edge(loss)}, {at::ones_like(loss)},
                                           /*keep_graph=*/false, /*create_graph=*/false, /*accumulate_grad=*/false, outputs);
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < gradients.size(); i++) {
    if (gradients[i].defined()) frame.recordings[i].measure(gradients[i], out);
    gradients[i].reset();
    frame.recordings[i].measure = nullptr;
  }
  join_uses(out, frame.parameters, frame.slots);
}

}  // namespace

at::Tensor forward(const Schema& schema, const Tape& tape, const Plan& plan, Frame& frame, const uint8_t* records,
                   const std::vector<int64_t>& slots) {
  for (size_t i = 0; i < tape.inputs.size(); i++) {
    ValueId input = tape.inputs[i];
    if (input != kNone)
      frame.values[input] =
          gather(schema.inputs[i], records, schema.record_bytes, slots, frame.device).unsqueeze(1);  // [B, 1, *input]
  }
  for (const PlannedStep& step : plan.steps) run_step(step, frame, records != nullptr);
  at::Tensor output = std::move(frame.values[tape.output]);
  frame.values.clear();
  return output;
}

Measurement measure(const Program& program, const std::vector<at::Tensor>& parameters, const uint8_t* records,
                    const std::vector<int64_t>& slots, const std::vector<uint64_t>& seeds) {
  bool has_data = records != nullptr;
  const Schema& schema = program.schema;
  Frame frame{program.device,
              static_cast<int64_t>(slots.size()),
              std::vector<at::Tensor>(program.tape.values.size()),
              parameters,
              seeds,
              {}};
  Measurement out;
  out.measured.resize(parameters.size());
  torch::AutoGradMode grad_mode(true);
  at::Tensor output = forward(schema, program.tape, program.plan, frame, records, slots);
  Losses losses = compute_loss(program.loss, output, gather(schema.label, records, schema.record_bytes, slots, frame.device));
  output.reset();
  std::vector<uint8_t> filled;
  for (int64_t slot : slots) filled.push_back(slot >= 0);
  at::Tensor occupied = at::from_blob(filled.data(), {frame.slots}, at::kByte).ne(0).to(frame.device);
  out.losses = losses.per_record.detach().to(at::kDouble);
  out.counts = losses.counts.logical_and(occupied).logical_and(out.losses.isfinite());
  try {
    measure_gradients(frame, losses.per_record.sum(), out.measured);
  } catch (const std::exception& e) {
    if (has_data || is_out_of_memory(e)) throw;
    throw Failure(BL_INCOMPATIBLE_MODEL, "the model cannot be differentiated: " + first_line(e.what()));
  }
  return out;
}

void accumulate(Measurement& measurement, const at::Tensor& factors, std::vector<Sum>& sums) {
  torch::NoGradGuard no_grad;
  for (size_t p = 0; p < measurement.measured.size(); p++) {
    for (auto& use : measurement.measured[p]) use->accumulate(factors, sums[p]);
    measurement.measured[p].clear();
  }
}

}  // namespace bastionlab
