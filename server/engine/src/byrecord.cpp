// Any operator, one record after the other: what draws random numbers, and what libtorch differentiates one way or another by what
// all records hold. It sees one record because there is no other.
#include "invocation.h"
#include "operations.h"
#include "randomness.h"

namespace bastionlab {
namespace {

class ByRecord : public Operation {
 public:
  ByRecord(const Step& step, uint64_t place) : call_(step), place_(place) {}

  void run(Frame& frame) const override {
    // One unbind for each value, not a select for each record: its gradient is put together once.
    std::unordered_map<ValueId, std::vector<at::Tensor>> records;
    for (ValueId value : call_.values()) records[value] = frame.values[value].unbind(0);
    std::vector<std::vector<at::Tensor>> results(call_.results().size());
    for (int64_t slot = 0; slot < frame.slots; slot++) {
      seed_generator(frame.device, frame.seeds.at(slot), place_);
      std::vector<at::Tensor> of_record = call_([&](ValueId value) { return records.at(value)[slot]; });
      for (size_t r = 0; r < results.size(); r++) results[r].push_back(std::move(of_record[r]));
    }
    for (size_t r = 0; r < results.size(); r++)
      if (results[r].at(0).defined()) frame.values[call_.results()[r]] = at::stack(results[r]);  // [B, ...]
  }

 private:
  Invocation call_;
  uint64_t place_;
};

}  // namespace

std::unique_ptr<Operation> make_by_record(const Step& step, uint64_t place) { return std::make_unique<ByRecord>(step, place); }

}  // namespace bastionlab
