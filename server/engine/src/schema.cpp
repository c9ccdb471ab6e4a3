#include "schema.h"

#include <cstring>

#include "dtype.h"
#include "failure.h"

namespace bastionlab {
namespace {

constexpr int64_t kMaxRecordBytes = int64_t{1} << 40;
constexpr int32_t kMaxRank = 16;

TensorSpec read_spec(const bl_tensor_spec& spec, int64_t record_bytes) {
  TensorSpec out{spec.name == nullptr ? "" : spec.name, scalar_type(spec.dtype), {}, spec.offset, 0};
  if (spec.rank < 0 || spec.rank > kMaxRank || (spec.rank > 0 && spec.shape == nullptr))
    throw Failure(BL_INVALID_ARGUMENT, "the rank of \"" + out.name + "\" is not between 0 and 16");
  int64_t bytes = static_cast<int64_t>(c10::elementSize(out.dtype));
  for (int32_t d = 0; d < spec.rank; d++) {
    if (spec.shape[d] < 1) throw Failure(BL_INVALID_ARGUMENT, "a dimension of \"" + out.name + "\" is not positive");
    if (__builtin_mul_overflow(bytes, spec.shape[d], &bytes)) throw Failure(BL_INVALID_ARGUMENT, "a record is too large");
    out.shape.push_back(spec.shape[d]);
  }
  if (spec.offset < 0 || bytes > record_bytes || spec.offset > record_bytes - bytes)
    throw Failure(BL_INVALID_ARGUMENT, "\"" + out.name + "\" does not lie within a record");
  out.bytes = bytes;
  return out;
}

}  // namespace

Schema read_schema(const bl_schema* schema) {
  if (schema == nullptr || schema->n_inputs < 1 || schema->inputs == nullptr)
    throw Failure(BL_INVALID_ARGUMENT, "the schema has no inputs");
  if (schema->record_bytes < 1 || schema->record_bytes > kMaxRecordBytes)
    throw Failure(BL_INVALID_ARGUMENT, "the schema has no sensible record size");
  Schema out{{}, {}, schema->record_bytes, schema->named_inputs != 0};
  for (int64_t i = 0; i < schema->n_inputs; i++) out.inputs.push_back(read_spec(schema->inputs[i], schema->record_bytes));
  out.label = read_spec(schema->label, schema->record_bytes);
  return out;
}

at::Tensor gather(const TensorSpec& spec, const uint8_t* records, int64_t record_bytes, const std::vector<int64_t>& slots,
                  c10::Device device) {
  std::vector<int64_t> shape{static_cast<int64_t>(slots.size())};
  shape.insert(shape.end(), spec.shape.begin(), spec.shape.end());
  at::Tensor out = at::zeros(shape, spec.dtype);
  auto* to = static_cast<uint8_t*>(out.mutable_data_ptr());
  for (int64_t slot : slots) {
    if (slot >= 0) std::memcpy(to, records + slot * record_bytes + spec.offset, spec.bytes);  // records are not aligned
    to += spec.bytes;
  }
  // A bool of any other byte than 0 and 1 is undefined behaviour further down.
  if (spec.dtype == at::kBool) out = out.view(at::kByte).ne(0);
  return out.to(device);
}

}  // namespace bastionlab
