#include "dtype.h"

#include "failure.h"

namespace bastionlab {
namespace {

struct Row {
  int32_t abi;
  at::ScalarType torch;
  const char* proto;
};

constexpr Row kRows[] = {
    {BL_BOOL, at::kBool, "DTYPE_BOOL"}, {BL_U8, at::kByte, "DTYPE_U8"},         {BL_I8, at::kChar, "DTYPE_I8"},
    {BL_I16, at::kShort, "DTYPE_I16"},  {BL_I32, at::kInt, "DTYPE_I32"},        {BL_I64, at::kLong, "DTYPE_I64"},
    {BL_F16, at::kHalf, "DTYPE_F16"},   {BL_BF16, at::kBFloat16, "DTYPE_BF16"}, {BL_F32, at::kFloat, "DTYPE_F32"},
    {BL_F64, at::kDouble, "DTYPE_F64"},
};

}  // namespace

at::ScalarType scalar_type(int32_t dtype) {
  for (const Row& row : kRows)
    if (row.abi == dtype) return row.torch;
  throw Failure(BL_INVALID_ARGUMENT, "unknown dtype " + std::to_string(dtype));
}

int32_t abi_dtype(at::ScalarType type) {
  for (const Row& row : kRows)
    if (row.torch == type) return row.abi;
  return 0;
}

const char* proto_dtype(at::ScalarType type) {
  for (const Row& row : kRows)
    if (row.torch == type) return row.proto;
  return "DTYPE_UNSPECIFIED";
}

}  // namespace bastionlab
