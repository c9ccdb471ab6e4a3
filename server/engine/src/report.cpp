// What people read of a program: bastionlab.v1.CapabilityReport in protobuf's JSON mapping.
#include <nlohmann/json.hpp>

#include <map>

#include "dtype.h"
#include "program.h"

namespace bastionlab {
namespace {

using nlohmann::json;

json shape(const std::vector<int64_t>& sizes) {
  json out = json::array();
  for (int64_t size : sizes) out.push_back(std::to_string(size));  // protobuf's int64 is a string in JSON
  return out;
}

json tensor(const std::string& name, at::ScalarType dtype, const std::vector<int64_t>& sizes) {
  return {{"name", name}, {"dtype", proto_dtype(dtype)}, {"shape", shape(sizes)}};
}

// "linear", "embedding + linear (tied)", "frozen", "unused".
std::string measurement(const std::vector<std::string>& uses) {
  if (uses.empty()) return "unused";
  if (uses.size() == 1) return uses[0];
  std::string out;
  for (const std::string& use : uses)
    if (out.find(use) == out.npos) out += (out.empty() ? "" : " + ") + use;
  return out + " (tied)";
}

}  // namespace

std::string make_report(const Program& program) {
  json report = {
      {"operators", json::array()}, {"parameters", json::array()}, {"inputs", json::array()}, {"outputs", json::array()}};
  std::map<std::string, int64_t> counts, one_at_a_time;
  for (const Step& step : program.tape.steps) counts[step.name]++;
  for (const PlannedStep& step : program.plan.steps) one_at_a_time[step.name] += step.one_at_a_time ? 1 : 0;
  for (const auto& [name, count] : counts)
    report["operators"].push_back(
        {{"name", name}, {"count", std::to_string(count)}, {"oneRecordAtATime", std::to_string(one_at_a_time[name])}});
  size_t next = 0;
  for (const Parameter& parameter : program.parameters) {
    json row = tensor(parameter.name, parameter.tensor.scalar_type(), parameter.tensor.sizes().vec());
    row["trainable"] = parameter.trainable;
    row["measurement"] = parameter.trainable ? measurement(program.plan.measurements[next++]) : "frozen";
    report["parameters"].push_back(row);
  }
  for (const TensorSpec& input : program.schema.inputs) report["inputs"].push_back(tensor(input.name, input.dtype, input.shape));
  const ValueInfo& output = program.tape.values[program.tape.output];
  report["outputs"].push_back(tensor(program.tape.output_name, output.dtype, output.shape));
  return report.dump();
}

}  // namespace bastionlab
