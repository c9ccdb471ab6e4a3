// Any operator, for all slots at once. libtorch's vmap is what keeps the slots apart: the operator sees one record.
#include "invocation.h"
#include "operations.h"

namespace bastionlab {
namespace {

namespace ft = at::functorch;

// One level of vmap. What draws random numbers does not come here, see byrecord.cpp, and would throw.
class Level {
 public:
  explicit Level(int64_t slots)
      : level_(ft::initAndPushDynamicLayer(ft::TransformType::Vmap, c10::SymInt(slots), ft::RandomnessType::Error)) {}
  ~Level() { ft::popDynamicLayerAndDeleteMetadata(); }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

  at::Tensor wrap(const at::Tensor& all_slots) const { return ft::makeBatched(all_slots, 0, level_); }
  at::Tensor unwrap(const at::Tensor& tensor, int64_t slots) const {
    auto [value, dim] = ft::unwrapTensorAtLevel(tensor, level_);
    if (dim.has_value()) return value.movedim(*dim, 0);
    std::vector<int64_t> shape{slots};
    shape.insert(shape.end(), value.sizes().begin(), value.sizes().end());
    return value.unsqueeze(0).expand(shape);
  }

 private:
  int64_t level_;
};

class Vmap : public Operation {
 public:
  explicit Vmap(const Step& step) : call_(step) {}

  void run(Frame& frame) const override {
    std::vector<at::Tensor> results;
    {
      Level level(frame.slots);
      results = call_([&](ValueId value) { return level.wrap(frame.values[value]); });
      for (at::Tensor& result : results)
        if (result.defined()) result = dense(level.unwrap(result, frame.slots));
    }
    for (size_t i = 0; i < results.size(); i++) frame.values[call_.results()[i]] = std::move(results[i]);
  }

 private:
  Invocation call_;
};

}  // namespace

std::unique_ptr<Operation> make_vmap(const Step& step) { return std::make_unique<Vmap>(step); }

}  // namespace bastionlab
