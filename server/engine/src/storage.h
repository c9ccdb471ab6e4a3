// Where a tensor lies in its memory.
#pragma once

#include "torch.h"

namespace bastionlab {

// SECURITY: whether every element lies within the memory that the tensor has. An archive says where its tensors lie, and an
// operator that takes strides believes its caller.
bool within_storage(const at::Tensor& tensor);

}  // namespace bastionlab
