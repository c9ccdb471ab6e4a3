// Evaluation sums up a metric over records and gives the sum away once, with noise.
//
// PRIVACY: one record per pass. A metric jumps where an output crosses a border, so in a pass of several records the rounding of
// one next to another could move the values of all. Alone, a record's value is a function of that record and the weights.
#pragma once

#include "metric.h"
#include "parameters.h"

namespace bastionlab {

class Evaluation {
 public:
  // Tries a record of zeros. Throws Failure.
  Evaluation(const Program& program, const bl_evaluation& settings);

  int64_t parameter_count() const { return static_cast<int64_t>(parameters_.names.size()); }
  void set_parameter(const std::string& name, int32_t dtype, const void* data, size_t bytes) {
    parameters_.set(name, dtype, data, bytes);
  }
  // A slot of -1 is empty: it is computed like any other and counts zero, as does a record on which the model fails.
  void add(const uint8_t* records, int64_t n_records, int64_t slot, uint64_t seed);
  int64_t release(bl_random random, void* context);

 private:
  double measure(const uint8_t* records, int64_t slot, uint64_t seed) const;

  const Program& program_;
  Metric metric_;
  Tape tape_;
  Plan plan_;
  Parameters parameters_;
  double stddev_;  // of the sum's noise; 0: none
  int64_t slots_ = 0;
  int64_t sum_ = 0;  // in units of 2^-BL_METRIC_BITS
  bool released_ = false;
};

}  // namespace bastionlab
