#include "program.h"

#include "failure.h"
#include "pass.h"
#include "placement.h"
#include "replay.h"

namespace bastionlab {

std::vector<const Parameter*> Program::trainable() const {
  std::vector<const Parameter*> out;
  for (const Parameter& parameter : parameters)
    if (parameter.trainable) out.push_back(&parameter);
  return out;
}

std::unique_ptr<Program> build_program(const bl_graph& graph, const bl_schema* schema, const char* loss, c10::Device device,
                                       const Judge& judge) {
  auto program = std::make_unique<Program>(read_schema(schema), device);
  program->loss = read_loss(loss);
  Replayed replayed = replay(graph, program->schema, judge);
  program->parameters = std::move(replayed.parameters);
  program->tape = std::move(replayed.tape);
  if (program->trainable().empty()) throw Failure(BL_INCOMPATIBLE_MODEL, "no parameter of the model requires a gradient");
  for (const Parameter* parameter : program->trainable()) {
    at::ScalarType type = parameter->tensor.scalar_type();
    // PRIVACY: the bound on what rounding adds is for these two.
    if (type != at::kFloat && type != at::kDouble)
      throw Failure(BL_INCOMPATIBLE_MODEL, "a trainable parameter must be float32 or float64; call .float() on the model", "",
                    parameter->name);
  }
  const ValueInfo& output = program->tape.values[program->tape.output];
  check_loss(program->loss, output.shape, output.dtype, program->schema.label);
  place_on(device, program->tape, program->parameters);
  program->unmeasured = program->tape;
  program->plan = rewrite(program->tape, program->parameters, device);
  program->report = make_report(*program);
  return program;
}

void rehearse(const Program& program, int64_t pass_size) {
  std::vector<at::Tensor> parameters;
  std::vector<Sum> sums;
  for (const Parameter* parameter : program.trainable()) {
    parameters.push_back(parameter->tensor.detach());
    sums.emplace_back(parameter->tensor.sizes(), std::nullopt, program.device);
  }
  std::vector<int64_t> empty(pass_size, -1);
  Measurement pass = measure(program, parameters, nullptr, empty, std::vector<uint64_t>(pass_size, 0));
  accumulate(pass, clip_factors(pass.measured, parameters, at::ones({pass_size}, at::device(program.device).dtype(at::kBool)), 1.0),
             sums);
}

}  // namespace bastionlab
