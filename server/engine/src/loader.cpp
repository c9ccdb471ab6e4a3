#include "loader.h"

#include <torch/csrc/jit/serialization/import_read.h>
#include <torch/csrc/jit/serialization/import_source.h>
#include <torch/csrc/jit/serialization/storage_context.h>

#include <cstring>
#include <unordered_set>

#include "failure.h"
#include "storage.h"

namespace bastionlab {
namespace {

using c10::IValue;
using caffe2::serialize::PyTorchStreamReader;
using torch::jit::DeserializationStorageContext;
using torch::jit::Source;

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

[[noreturn]] void bad(const std::string& reason) { throw Failure(BL_BAD_ARCHIVE, reason); }

// SECURITY: an archive says of every tensor where in which storage it lies, and libtorch believes it.
class TensorCheck {
 public:
  void operator()(const IValue& value) {
    if (value.isTensor()) return check(value.toTensor());
    if (value.isTuple()) {
      for (const IValue& element : value.toTupleRef().elements()) (*this)(element);
    } else if (value.isList()) {
      if (!is_new(value)) return;
      for (const IValue& element : value.toListRef()) (*this)(element);
    } else if (value.isGenericDict()) {
      if (!is_new(value)) return;
      for (const auto& entry : value.toGenericDict()) {
        (*this)(entry.key());
        (*this)(entry.value());
      }
    } else if (value.isObject()) {
      if (!is_new(value)) return;
      for (const IValue& slot : value.toObjectRef().slots()) (*this)(slot);
    } else if (value.isCapsule() || value.isPyObject() || value.isRRef() || value.isGenerator() || value.isStorage() ||
               value.isStream()) {
      bad("the archive holds something that is neither a tensor nor a plain value");
    }
  }

 private:
  bool is_new(const IValue& value) { return seen_.insert(value.internalToPointer()).second; }

  static void check(const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    if (tensor.layout() != at::kStrided || !tensor.device().is_cpu() || tensor.is_quantized() || !tensor.has_storage())
      bad("the archive holds a sparse or quantised tensor, or one of another device; save the model from the CPU");
    if (!within_storage(tensor)) bad("a tensor of the archive is larger than its data");
  }

  std::unordered_set<const void*> seen_;
};

class Loader {
 public:
  explicit Loader(std::shared_ptr<Bytes> bytes)
      : reader_(std::move(bytes)),
        unit_(std::make_shared<torch::jit::CompilationUnit>()),
        importer_(unit_, &constants_, [this](const std::string& qualifier) { return source(qualifier); }, reader_.version()) {}

  torch::jit::Module load() {
    if (reader_.hasRecord("model.json")) bad("the archive has the format of torch before 1.4; save it again");
    if (!reader_.hasRecord("data.pkl") || !reader_.hasRecord("constants.pkl"))
      bad("this is no TorchScript archive; save the model with torch.jit.save");
    TensorCheck check;
    IValue constants = read("constants");
    if (!constants.isTuple()) bad("the archive's constants are no tuple");
    check(constants);
    for (const IValue& constant : constants.toTupleRef().elements()) constants_.push_back(constant);
    IValue data = read("data");
    if (!data.isObject() || !data.type()->is_module()) bad("the archive holds no module");
    check(data);
    return torch::jit::Module(data.toObject());
  }

 private:
  std::shared_ptr<Source> source(const std::string& qualifier) {
    std::string path = "code/" + qualifier + ".py";
    std::replace(path.begin() + 5, path.end() - 3, '.', '/');
    if (!reader_.hasRecord(path)) return nullptr;
    auto [data, size] = reader_.getRecord(path);
    return std::make_shared<Source>(std::string_view(static_cast<const char*>(data.get()), size), path, 1, nullptr,
                                    Source::COPIES_STRING);
  }

  // SECURITY: no class of the author's says how it is read; its attributes are what the archive holds.
  static c10::intrusive_ptr<c10::ivalue::Object> object(const c10::StrongTypePtr& type, const IValue& attributes) {
    auto cls = type.type_->cast<c10::ClassType>();
    if (cls == nullptr || !attributes.isGenericDict()) bad("the archive holds an object of no class");
    if (cls->findMethod("__setstate__") != nullptr || cls->findMethod("__getstate__") != nullptr)
      throw Failure(BL_INCOMPATIBLE_MODEL, "it has a class with __setstate__, which would run before it could be judged",
                    "__setstate__");
    auto dict = attributes.toGenericDict();
    auto out = c10::ivalue::Object::create(type, cls->numAttributes());
    for (size_t i = 0; i < cls->numAttributes(); i++) {
      auto found = dict.find(cls->getAttributeName(i));
      if (found == dict.end()) bad("an object of the archive lacks an attribute");
      out->setSlot(i, found->value());
    }
    return out;
  }

  c10::StrongTypePtr resolve(const c10::QualifiedName& name) {
    if (name.qualifiedName().find("torch.classes") != std::string::npos)
      throw Failure(BL_INCOMPATIBLE_MODEL, "it uses a custom class (quantised or packed modules do)", "torch.classes");
    c10::TypePtr type = importer_.loadType(name);
    if (type == nullptr) bad("the archive lacks the code of a class");
    return c10::StrongTypePtr(unit_, std::move(type));
  }

  IValue read(const std::string& archive) {
    auto storages = std::make_shared<DeserializationStorageContext>();
    IValue out = torch::jit::readArchiveAndTensors(
        archive, "", "", [this](const c10::QualifiedName& name) { return resolve(name); },
        [](const c10::StrongTypePtr& type, const IValue& input) { return object(type, input); }, c10::Device(c10::kCPU), reader_,
        torch::jit::Unpickler::defaultTypeParser, storages);
    // SECURITY: the pickle says how large a storage is, and the file how many bytes there are.
    std::string folder = archive + "/";
    for (const std::string& name : reader_.getAllRecords()) {
      if (name.rfind(folder, 0) != 0) continue;
      std::string key = name.substr(folder.size());
      if (storages->hasStorage(key) && storages->getStorage(key).nbytes() > reader_.getRecordSize(name))
        bad("a tensor of the archive is larger than its data");
    }
    return out;
  }

  PyTorchStreamReader reader_;
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  std::vector<IValue> constants_;
  torch::jit::SourceImporter importer_;
};

}  // namespace

torch::jit::Module load_module(const uint8_t* bytes, size_t size) { return Loader(std::make_shared<Bytes>(bytes, size)).load(); }

}  // namespace bastionlab
