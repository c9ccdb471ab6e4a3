// LSTM, GRU and simple recurrent layers, unrolled over the steps of a record.
#include "lower.h"

namespace bastionlab {
namespace {

using c10::IValue;
using torch::jit::Stack;

enum class Cell { kLstm, kGru, kTanh, kRelu };

// The weights of one direction of one layer. A bias may be undefined, and so may the projection, which an LSTM alone can have.
struct Weights {
  at::Tensor input, hidden, input_bias, hidden_bias, projection;
};

struct State {
  at::Tensor h, c;  // [N, H], h [N, P] where it is projected; c of an LSTM only
};

IValue optional(const at::Tensor& tensor) { return tensor.defined() ? IValue(tensor) : IValue(); }

class Builder {
 public:
  Builder(Cell cell, Emitter& emit) : cell_(cell), emit_(emit) {}

  at::Tensor linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b) {
    return emit_.tensor("aten::linear", "", {x, w, optional(b)});
  }

  // One step; `gates` is what the input gives, [N, gates H].
  State step(const at::Tensor& gates, const State& state, const Weights& w) {
    at::Tensor from_hidden = linear(state.h, w.hidden, w.hidden_bias);  // [N, gates H]
    if (cell_ == Cell::kLstm) {
      auto g = chunk(add(gates, from_hidden), 4);  // input, forget, new, output
      at::Tensor c = add(mul(sigmoid(g[1]), state.c), mul(sigmoid(g[0]), tanh(g[2])));
      at::Tensor h = mul(sigmoid(g[3]), tanh(c));
      return {w.projection.defined() ? linear(h, w.projection, {}) : h, c};
    }
    if (cell_ == Cell::kGru) {
      auto i = chunk(gates, 3), h = chunk(from_hidden, 3);  // reset, update, new
      at::Tensor fresh = tanh(add(i[2], mul(sigmoid(add(i[0], h[0])), h[2])));
      at::Tensor keep = sigmoid(add(i[1], h[1]));
      return {add(fresh, mul(keep, sub(state.h, fresh))), {}};
    }
    at::Tensor sum = add(gates, from_hidden);
    return {cell_ == Cell::kTanh ? tanh(sum) : emit_.tensor("aten::relu", "", {sum}), {}};
  }

  // A whole sequence in one direction.  // x [T, N, D] -> [T, N, H]
  at::Tensor layer(const at::Tensor& x, State& state, const Weights& w, bool backwards) {
    at::Tensor gates = linear(x, w.input, w.input_bias);  // [T, N, gates H]
    int64_t steps = x.size(0);
    std::vector<at::Tensor> out(steps);
    for (int64_t i = 0; i < steps; i++) {
      int64_t t = backwards ? steps - 1 - i : i;
      state = step(emit_.tensor("aten::select", "int", {gates, 0, t}), state, w);
      out[t] = state.h;
    }
    return emit_.tensor("aten::stack", "", {out, 0});
  }

 private:
  at::Tensor add(const at::Tensor& a, const at::Tensor& b) { return emit_.tensor("aten::add", "Tensor", {a, b, 1}); }
  at::Tensor sub(const at::Tensor& a, const at::Tensor& b) { return emit_.tensor("aten::sub", "Tensor", {a, b, 1}); }
  at::Tensor mul(const at::Tensor& a, const at::Tensor& b) { return emit_.tensor("aten::mul", "Tensor", {a, b}); }
  at::Tensor tanh(const at::Tensor& a) { return emit_.tensor("aten::tanh", "", {a}); }
  at::Tensor sigmoid(const at::Tensor& a) { return emit_.tensor("aten::sigmoid", "", {a}); }
  std::vector<at::Tensor> chunk(const at::Tensor& a, int64_t n) { return emit_("aten::chunk", "", {a, n, -1}).toTensorVector(); }

  Cell cell_;
  Emitter& emit_;
};

at::Tensor tensor_or_none(const IValue& value) { return value.isTensor() ? value.toTensor() : at::Tensor(); }

// aten::lstm_cell(input, hx[], w_ih, w_hh, b_ih, b_hh), the others with hx a tensor.
void lower_cell(Cell cell, Stack& a, Emitter& emit) {
  Builder build(cell, emit);
  Weights w{a.at(2).toTensor(), a.at(3).toTensor(), tensor_or_none(a.at(4)), tensor_or_none(a.at(5)), {}};
  State state;
  if (cell == Cell::kLstm) {
    state = {a.at(1).toTensorVector().at(0), a.at(1).toTensorVector().at(1)};
  } else {
    state.h = a.at(1).toTensor();
  }
  State next = build.step(build.linear(a.at(0).toTensor(), w.input, w.input_bias), state, w);
  a = cell == Cell::kLstm ? Stack{next.h, next.c} : Stack{next.h};
}

// aten::lstm.input(input, hx[], params[], has_biases, num_layers, dropout, train, bidirectional, batch_first), the others with hx a
// tensor.
void lower_layers(Cell cell, Stack& a, Emitter& emit) {
  Builder build(cell, emit);
  at::Tensor x = a.at(0).toTensor();
  std::vector<at::Tensor> params = a.at(2).toTensorVector();
  bool biases = a.at(3).toBool(), train = a.at(6).toBool(), both = a.at(7).toBool(), batch_first = a.at(8).toBool();
  int64_t layers = a.at(4).toInt(), directions = both ? 2 : 1;
  size_t each = biases ? 4 : 2;
  // torch.nn.LSTM(proj_size=...) is known by one weight more for each direction of each layer.
  bool projected = cell == Cell::kLstm && params.size() == layers * directions * (each + 1);
  if (projected) each++;
  TORCH_CHECK(params.size() == layers * directions * each, "a recurrent layer with another number of weights than its kind has");
  at::Tensor h0 = cell == Cell::kLstm ? a.at(1).toTensorVector().at(0) : a.at(1).toTensor();  // [layers directions, N, H]
  at::Tensor c0 = cell == Cell::kLstm ? a.at(1).toTensorVector().at(1) : at::Tensor();
  if (batch_first) x = emit.tensor("aten::transpose", "int", {x, 0, 1});  // [T, N, D]
  std::vector<at::Tensor> hs, cs;
  for (int64_t layer = 0; layer < layers; layer++) {
    std::vector<at::Tensor> outs;
    for (int64_t direction = 0; direction < directions; direction++) {
      int64_t index = layer * directions + direction;
      const at::Tensor* p = &params[index * each];
      Weights w{p[0], p[1], biases ? p[2] : at::Tensor(), biases ? p[3] : at::Tensor(), projected ? p[each - 1] : at::Tensor()};
      State state{emit.tensor("aten::select", "int", {h0, 0, index}),
                  c0.defined() ? emit.tensor("aten::select", "int", {c0, 0, index}) : c0};
      outs.push_back(build.layer(x, state, w, direction == 1));
      hs.push_back(state.h);
      cs.push_back(state.c);
    }
    x = both ? emit.tensor("aten::cat", "", {outs, -1}) : outs[0];
    if (layer + 1 < layers && train && a.at(5).toDouble() > 0) x = emit.tensor("aten::dropout", "", {x, a.at(5), true});
  }
  if (batch_first) x = emit.tensor("aten::transpose", "int", {x, 0, 1});
  at::Tensor h = emit.tensor("aten::stack", "", {hs, 0});
  a = cell == Cell::kLstm ? Stack{x, h, emit.tensor("aten::stack", "", {cs, 0})} : Stack{x, h};
}

}  // namespace

bool lower_recurrent(const torch::jit::Operator& op, Stack& stack, Emitter& emit) {
  const std::string& name = op.schema().name();
  bool whole = op.schema().overload_name() == "input";
  if (name == "aten::lstm_cell")
    lower_cell(Cell::kLstm, stack, emit);
  else if (name == "aten::gru_cell")
    lower_cell(Cell::kGru, stack, emit);
  else if (name == "aten::rnn_tanh_cell")
    lower_cell(Cell::kTanh, stack, emit);
  else if (name == "aten::rnn_relu_cell")
    lower_cell(Cell::kRelu, stack, emit);
  else if (name == "aten::lstm" && whole)
    lower_layers(Cell::kLstm, stack, emit);
  else if (name == "aten::gru" && whole)
    lower_layers(Cell::kGru, stack, emit);
  else if (name == "aten::rnn_tanh" && whole)
    lower_layers(Cell::kTanh, stack, emit);
  else if (name == "aten::rnn_relu" && whole)
    lower_layers(Cell::kRelu, stack, emit);
  else
    return false;
  return true;
}

}  // namespace bastionlab
