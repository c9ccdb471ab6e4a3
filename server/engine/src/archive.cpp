#include "archive.h"

#include <cstring>
#include <string_view>

#include "failure.h"

namespace bastionlab {
namespace {

using caffe2::serialize::PyTorchStreamReader;

// Reads the caller's bytes in place.
class Bytes : public caffe2::serialize::ReadAdapterInterface {
 public:
  Bytes(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {}
  size_t size() const override { return size_; }
  size_t read(uint64_t position, void* out, size_t n, const char*) const override {
    if (position >= size_) return 0;
    n = std::min<size_t>(n, size_ - position);
    std::memcpy(out, bytes_ + position, n);
    return n;
  }

 private:
  const uint8_t* bytes_;
  size_t size_;
};

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// SECURITY: reading an archive runs `__setstate__` of its classes, and unpickles custom classes by their own code, both before anything
// could be judged. No ordinary module has either, so an archive that only mentions them is refused; and so is the older format.
void refuse_code_that_runs_at_loading(const std::shared_ptr<Bytes>& bytes) {
  PyTorchStreamReader reader(bytes);
  if (reader.hasRecord("model.json")) throw Failure(BL_BAD_ARCHIVE, "the archive has the format of torch before 1.4; save it again");
  if (!reader.hasRecord("data.pkl") || !reader.hasRecord("constants.pkl"))
    throw Failure(BL_BAD_ARCHIVE, "this is no TorchScript archive; save the model with torch.jit.save");
  for (const std::string& name : reader.getAllRecords()) {
    if (!ends_with(name, ".py") && !ends_with(name, ".pkl")) continue;
    auto [data, size] = reader.getRecord(name);
    std::string_view text(static_cast<const char*>(data.get()), size);
    if (text.find("__setstate__") != text.npos)
      throw Failure(BL_INCOMPATIBLE_MODEL, "it has a class with __setstate__, which would run before it could be judged", "__setstate__");
    if (text.find("torch.classes") != text.npos)
      throw Failure(BL_INCOMPATIBLE_MODEL, "it uses a custom class (quantised or packed modules do)", "torch.classes");
  }
}

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
    if (trainable && !is_plain(tensor)) throw Failure(BL_INCOMPATIBLE_MODEL, "a trainable parameter must be dense: " + name, "", name);
    if (trainable && tensor.numel() == 0) throw Failure(BL_INCOMPATIBLE_MODEL, "a trainable parameter is empty: " + name, "", name);
    for (const Parameter& other : archive.parameters) {
      // SECURITY: an update of the one would change the other behind the engine's back.
      if ((trainable || other.trainable) && tensor.is_alias_of(other.tensor))
        throw Failure(BL_INCOMPATIBLE_MODEL, "two parameters share memory without being the same: " + name + ", " + other.name, "", name);
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
  auto source = std::make_shared<Bytes>(bytes, size);
  Archive archive;
  try {
    refuse_code_that_runs_at_loading(source);
    archive.module = torch::jit::load(source, c10::Device(c10::kCPU), /*load_debug_files=*/false);
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& e) {
    if (is_out_of_memory(e)) throw;
    throw Failure(BL_BAD_ARCHIVE, "libtorch cannot read the archive: " + first_line(e.what()));
  }
  for (const auto& [name, module] : archive.module.named_modules()) archive.layers[module._ivalue().get()] = name;
  collect_parameters(archive);
  return archive;
}

}  // namespace bastionlab
