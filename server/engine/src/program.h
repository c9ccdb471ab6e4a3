// Program is a graph that was judged, replayed and rewritten. It is what trainers share; nothing in it changes.
#pragma once

#include "archive.h"
#include "judge.h"
#include "loss.h"
#include "rewrite.h"
#include "schema.h"

namespace bastionlab {

struct Program {
  Schema schema;
  c10::Device device;  // of the parameters, of the tape's constants, and of the passes
  LossKind loss;
  std::vector<Parameter> parameters;
  Tape unmeasured;  // as it was replayed, before it was rewritten
  Tape tape;
  Plan plan;
  std::string report;

  std::vector<const Parameter*> trainable() const;
};

std::unique_ptr<Program> build_program(const bl_graph& graph, const bl_schema* schema, const char* loss, c10::Device device,
                                       const Judge& judge);
// Computes passes of zeros: what does not run for many records at once is found here, before there is data.
void rehearse(const Program& program, int64_t pass_size);

std::string make_report(const Program& program);

}  // namespace bastionlab
