#include "parameters.h"

#include "device.h"
#include "dtype.h"
#include "failure.h"

namespace bastionlab {

Parameters::Parameters(const Program& program) {
  for (const Parameter* parameter : program.trainable()) {
    names.push_back(parameter->name);
    tensors.push_back(parameter->tensor.detach().clone(at::MemoryFormat::Contiguous));
  }
}

void Parameters::set(const std::string& name, int32_t dtype, const void* data, size_t bytes) {
  for (size_t p = 0; p < names.size(); p++) {
    if (names[p] != name) continue;
    if (data == nullptr || dtype != abi_dtype(tensors[p].scalar_type()) || bytes != tensors[p].nbytes())
      throw Failure(BL_INVALID_ARGUMENT, "the parameter has another dtype or size", "", name);
    overwrite(tensors[p], data);
    return;
  }
  throw Failure(BL_INVALID_ARGUMENT, "there is no trainable parameter of that name", "", name);
}

}  // namespace bastionlab
