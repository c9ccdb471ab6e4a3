// The memory of the stand-in device: pages with two addresses. Tensors hold the one that nobody can read; kernels go by the other.
#pragma once

#include <cstddef>

namespace standin {

// At the address that a tensor holds; nullptr for no bytes.
void* allocate(size_t bytes);
void release(void* block);

// Where a kernel finds what a tensor holds at `block`.
void* seen_by_kernels(const void* block);

// Bytes that tensors hold now.
size_t allocated();

}  // namespace standin
