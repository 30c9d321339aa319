// A residual block, as three steps: Fork, then the layers of both branches, then Add.
//
//     x ----------> body ----> term --+
//     |                               +--> sum
//     +-- copy --> shortcut --> term --+
//
// The first convolutions of the branches may want different borders of zeros, so the shortcut reads a copy of x.
// Without layers in the shortcut, Add reads x itself.
//
// The gradient of a term is that of the sum, so terms share its memory (Blob::sum). Of the gradient of x, the body's
// backward pass computes one part; Fork, whose backward pass comes after it, adds the shortcut's.
#pragma once

#include <cstddef>
#include <cstring>

#include "api.h"
#include "blob.h"
#include "layer.h"
#include "schedule.h"

namespace lenet {

// `out` is the shortcut's copy of x. Without layers in the shortcut there is none, and `out` is the sum.
template <class T>
class Fork : public Layer<T> {
 public:
  Fork(const Context<T>& context, const LenetLayer& spec) : Layer<T>(context, spec, false) {}

  using Layer<T>::in;
  using Layer<T>::out;
  bool copies = false;

  void forward(Schedule& schedule) override {
    if (!copies) return;
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      std::memcpy(out->image(n) + run.to, in->image(n) + run.from, size_t(run.count) * sizeof(T));
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      T* __restrict const dx = in->image_gradient(n) + run.from;
      const T* __restrict const dy = out->image_gradient(n) + run.to;
      for (int i = 0; i < run.count; i++) dx[i] += dy[i];
    });
  }
};

// `in` is the body's term, which has the layout of the sum.
template <class T>
class Add : public Layer<T> {
 public:
  Add(const Context<T>& context, const LenetLayer& spec, Blob<T>& other)
      : Layer<T>(context, spec, false), other_(other) {}

  void pack() override {
    for (Blob<T>* term : {in, &other_})
      if (term->sum) term->gradient = out->gradient;
  }

  void forward(Schedule& schedule) override {
    each_run(schedule, other_, *out, [this](const Step&, int n, const Run& run) {
      const T* __restrict const a = in->image(n) + run.to;
      const T* __restrict const b = other_.image(n) + run.from;
      T* __restrict const y = out->image(n) + run.to;
      for (int i = 0; i < run.count; i++) y[i] = a[i] + b[i];
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  Blob<T>& other_;  // the shortcut's term, or x
};

}  // namespace lenet
