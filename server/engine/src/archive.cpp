#include "archive.h"

#include <cstring>

#include "failure.h"
#include "loader.h"

namespace bastionlab {
namespace {

bool same_memory(const at::Tensor& a, const at::Tensor& b) {
  return a.is_alias_of(b) && a.storage_offset() == b.storage_offset() && a.sizes() == b.sizes() && a.strides() == b.strides();
}

// Whether the elements of a parameter are each at a place of their own; one that is expanded has no gradient of its own.
bool is_plain(const at::Tensor& tensor) {
  return tensor.layout() == at::kStrided && tensor.device().is_cpu() && tensor.is_non_overlapping_and_dense();
}

void collect_parameters(Archive& archive) {
  for (const auto& [name, tensor] : archive.module.named_parameters()) {
    if (!tensor.defined()) continue;
    if (archive.parameter_of(tensor) >= 0) continue;
    bool trainable = tensor.requires_grad();
    if (trainable && tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kDouble)
      throw Failure(BL_INCOMPATIBLE_MODEL, "a trainable parameter must be float32 or float64: " + name, "", name);
    if (trainable && !is_plain(tensor))
      throw Failure(BL_INCOMPATIBLE_MODEL, "a trainable parameter must be dense: " + name, "", name);
    if (trainable && tensor.numel() == 0) throw Failure(BL_INCOMPATIBLE_MODEL, "a trainable parameter is empty: " + name, "", name);
    for (const Parameter& other : archive.parameters) {
      // SECURITY: an update of the one would change the other behind the engine's back.
      if ((trainable || other.trainable) && tensor.is_alias_of(other.tensor))
        throw Failure(BL_INCOMPATIBLE_MODEL, "two parameters share memory without being the same: " + name + ", " + other.name, "",
                      name);
    }
    archive.parameters.push_back({name, tensor, trainable});
  }
}

}  // namespace

int Archive::parameter_of(const at::Tensor& tensor) const {
  for (size_t i = 0; i < parameters.size(); i++)
    if (same_memory(tensor, parameters[i].tensor)) return static_cast<int>(i);
  return -1;
}

Archive read_archive(const uint8_t* bytes, size_t size) {
  if (bytes == nullptr || size < 4 || std::memcmp(bytes, "PK\x03\x04", 4) != 0)
    throw Failure(BL_BAD_ARCHIVE, "this is no TorchScript archive; save the model with torch.jit.save");
  Archive archive;
  try {
    archive.module = load_module(bytes, size);
    // What stands where a module belongs was not asked yet: libtorch notices here.
    for (const auto& [name, module] : archive.module.named_modules()) archive.layers[module._ivalue().get()] = name;
    collect_parameters(archive);
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    throw Failure(BL_BAD_ARCHIVE, "libtorch cannot read the archive: " + first_line(e.what()));
  }
  return archive;
}

}  // namespace bastionlab
