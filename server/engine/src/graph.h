// Graph is a tape in the form that leaves the intake: numbered values, plain tensors, nothing of the author's archive.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "archive.h"
#include "bastionlab_engine.h"
#include "tape.h"

namespace bastionlab {

class Graph {
 public:
  // The tape's tensors are copied where they are not contiguous, and kept.
  Graph(const Tape& tape, const std::vector<Parameter>& parameters, size_t inputs);  // throws Failure
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  const bl_graph& view() const { return view_; }

 private:
  void number_values(const Tape& tape, const std::vector<Parameter>& parameters, size_t inputs);
  void put(const Step& step);
  void put(const Operand& operand);
  void put(const c10::IValue& constant);
  void put(bl_operand_kind kind, int64_t integer = 0, double real = 0, const char* text = "");
  int64_t tensor(const at::Tensor& tensor);
  void order_tensors();
  const char* keep(const std::string& text) { return texts_.emplace_back(text).c_str(); }

  std::deque<std::string> texts_;                     // a deque does not move what it holds
  std::unordered_multimap<const void*, int64_t> at_;  // where in memory a source lies, and its number
  std::vector<at::Tensor> sources_, tensors_;         // as the tape has them, and contiguous
  std::vector<bl_tensor_view> views_;
  std::vector<bl_graph_parameter> parameters_;
  std::vector<bl_graph_step> steps_;
  std::vector<bl_operand> operands_;
  std::vector<int64_t> numbers_;  // of the tape's values
  bl_graph view_;
};

}  // namespace bastionlab
