// The ABI's dtypes and libtorch's, side by side.
#pragma once

#include "bastionlab_engine.h"
#include "torch.h"

namespace bastionlab {

at::ScalarType scalar_type(int32_t dtype);     // throws Failure(BL_INVALID_ARGUMENT)
int32_t abi_dtype(at::ScalarType type);        // 0 where the ABI has none
const char* proto_dtype(at::ScalarType type);  // "DTYPE_F32"

}  // namespace bastionlab
