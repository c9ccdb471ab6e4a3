// Schema says how a record lies in memory; what is computed from it depends on names, shapes and dtypes only.
#pragma once

#include <string>
#include <vector>

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

struct TensorSpec {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;  // without a batch dimension
  int64_t offset, bytes;
};

struct Schema {
  std::vector<TensorSpec> inputs;
  TensorSpec label;
  int64_t record_bytes;
  bool named_inputs;
};

Schema read_schema(const bl_schema* schema);  // throws Failure(BL_INVALID_ARGUMENT)

// Copies one tensor of the chosen records into the slots of a pass on the device; a slot of -1 stays zero.
at::Tensor gather(const TensorSpec& spec, const uint8_t* records, int64_t record_bytes, const std::vector<int64_t>& slots,
                  c10::Device device);  // [B, *shape]

}  // namespace bastionlab
