// SGD, Adam and AdamW by the formulas of torch.optim. They are elementwise, so each layer's layout serves. Muon is SGD
// except for the weights that `Context::orthogonal` names, whose direction is replaced as a whole (orthogonal.h).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "api.h"
#include "arena.h"
#include "schedule.h"
#include "vector.h"
#include "vector_math.h"

namespace lenet {

template <class T>
class Optimizer;

// A parameter and its optimizer state in the layer's layout.
template <class T>
struct Parameter {
  T* value = nullptr;
  T* first = nullptr;   // momentum, or Adam's mean of gradients
  T* second = nullptr;  // Adam's mean of squared gradients
  double steps = 0;     // number of Adam's steps before this call

  void allocate(Arena& arena, size_t count, const Optimizer<T>& optimizer, bool trained) {
    value = arena.array<T>(count);
    if (trained && optimizer.has_first()) first = arena.array<T>(count);
    if (trained && optimizer.has_second()) second = arena.array<T>(count);
  }

  // Copies from and to the caller's tensors. map(each) calls each(index in the caller's, index in ours) for every
  // value.
  template <class Map>
  void load(const LenetParameter& theirs, Map map) {
    if (!theirs.value) return;
    each_piece(theirs, [&](T* from, T* to) { map([=](size_t a, size_t b) { to[b] = from[a]; }); });
    if (second) steps = *theirs.steps;
  }

  // done: number of steps of this call
  template <class Map>
  void save(const LenetParameter& theirs, Map map, int64_t done) const {
    if (!theirs.value) return;
    each_piece(theirs, [&](T* to, const T* from) { map([=](size_t a, size_t b) { to[a] = from[b]; }); });
    if (second) *theirs.steps = float(steps + double(done));
  }

 private:
  template <class Piece>
  void each_piece(const LenetParameter& theirs, Piece piece) const {
    piece(static_cast<T*>(theirs.value), value);
    if (first) piece(static_cast<T*>(theirs.first), first);
    if (second) piece(static_cast<T*>(theirs.second), second);
  }
};

template <class T>
class Optimizer {
 public:
  explicit Optimizer(const LenetCall& call)
      : kind_(call.optimizer),
        nesterov_(call.nesterov),
        momentum_(call.momentum),
        beta1_(call.beta1),
        beta2_(call.beta2),
        eps_(call.eps),
        decay_(call.weight_decay) {}

  bool has_first() const { return has_second() || momentum_ != 0; }
  bool has_second() const { return kind_ == kAdam || kind_ == kAdamW; }
  bool orthogonal() const { return kind_ == kMuon; }

  // Factors of one step that are the same for all values of a parameter.
  struct Rates {
    T rate, keep, scale;
  };

  Rates rates(const Parameter<T>& parameter, const Step& step) const {
    const double rate = step.learning_rate;
    if (!has_second()) return {T(rate), T(1), T(1)};
    const double steps = parameter.steps + double(step.number) + 1;
    return {T(rate / (1 - std::pow(beta1_, steps))), T(kind_ == kAdamW ? 1 - rate * decay_ : 1),
            T(1 / std::sqrt(1 - std::pow(beta2_, steps)))};
  }

  // Updates the values [at, at + count) of the parameter; `gradient` is that of the first of them.
  void update(const Parameter<T>& parameter, const Rates& rates, size_t at, int count, const T* gradient) const {
    T* const value = parameter.value + at;
    if (has_second())
      adam(value, parameter.first + at, parameter.second + at, gradient, count, rates);
    else if (momentum_ == 0)
      sgd(value, gradient, count, rates);
    else
      sgd_momentum(value, parameter.first + at, gradient, count, rates);
  }

  // Replaces the gradient by the direction in which SGD moves the values [at, at + count), and updates their momentum.
  void direct(const Parameter<T>& parameter, size_t at, int count, T* __restrict gradient) const {
    const T* __restrict const value = parameter.value + at;
    T* __restrict const first = momentum_ == 0 ? nullptr : parameter.first + at;
    const T decay = T(decay_), momentum = T(momentum_), of_gradient = T(nesterov_ ? 1 : 0);
    const T of_first = nesterov_ ? momentum : T(1);
    for (int i = 0; i < count; i++) gradient[i] += decay * value[i];
    if (!first) return;
    for (int i = 0; i < count; i++) {
      first[i] = momentum * first[i] + gradient[i];
      gradient[i] = of_gradient * gradient[i] + of_first * first[i];
    }
  }

 private:
  void sgd(T* __restrict value, const T* __restrict gradient, int count, const Rates& rates) const {
    const T rate = rates.rate, decay = T(decay_);
    for (int i = 0; i < count; i++) value[i] -= rate * (gradient[i] + decay * value[i]);
  }

  void sgd_momentum(T* __restrict value, T* __restrict first, const T* __restrict gradient, int count,
                    const Rates& rates) const {
    const T decay = T(decay_), momentum = T(momentum_);
    // Without Nesterov value -= rate * m; with it value -= rate * (g + momentum * m).
    const T of_gradient = nesterov_ ? rates.rate : T(0), of_first = nesterov_ ? rates.rate * momentum : rates.rate;
    for (int i = 0; i < count; i++) {
      const T g = gradient[i] + decay * value[i];
      first[i] = momentum * first[i] + g;
      value[i] -= of_gradient * g + of_first * first[i];
    }
  }

  void adam(T* __restrict value, T* __restrict first, T* __restrict second, const T* __restrict gradient, int count,
            const Rates& rates) const {
    const T beta1 = T(beta1_), beta2 = T(beta2_), rest1 = T(1 - beta1_), rest2 = T(1 - beta2_), eps = T(eps_);
    const T decay = T(kind_ == kAdam ? decay_ : 0), keep = rates.keep, rate = rates.rate, scale = rates.scale;
    const auto step = [&](auto g, auto& p, auto& m, auto& v, auto root) {
      g += decay * p;
      m = beta1 * m + rest1 * g;
      v = beta2 * v + rest2 * g * g;
      p = keep * p - rate * m / (root(v) * scale + eps);
    };
    int i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>) {
      Vec<T> p = load(value + i), m = load(first + i), v = load(second + i);
      step(load(gradient + i), p, m, v, [](Vec<T> x) { return square_root<T>(x); });
      store(value + i, p);
      store(first + i, m);
      store(second + i, v);
    }
    // The remaining values, with the same square root so that results do not depend on their position.
    for (; i < count; i++)
      step(gradient[i], value[i], first[i], second[i], [](T x) { return square_root<T>(broadcast(x))[0]; });
  }

  LenetOptimizer kind_;
  bool nesterov_;
  double momentum_, beta1_, beta2_, eps_, decay_;
};

// The map of an array whose order is the same on both sides.
inline auto in_order(size_t count) {
  return [count](auto each) {
    for (size_t i = 0; i < count; i++) each(i, i);
  };
}

}  // namespace lenet
