// A residual block, as steps: Fork, the layers of the body, Copy, the layers of the shortcut, Add.
//
//     x ----------> body ----> term --+
//     |                               +--> sum
//     +-- copy --> shortcut --> term --+
//
// The first convolutions of the branches may want different borders of zeros, so the shortcut reads a copy of x.
// Without layers in the shortcut there is no copy: Add reads x itself.
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

// `in` is x, `out` the blob with the shortcut's part of its gradient: the copy, or the sum.
template <class T>
class Fork : public Layer<T> {
 public:
  Fork(const Context<T>& context, const LenetLayer& spec) : Layer<T>(context, spec, false) {}

  using Layer<T>::in;
  using Layer<T>::out;

  Needs needs() const override { return {Needs::kKept, Needs::kKept, false, by_images(*in)}; }

  void forward(Schedule&) override {}

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      T* __restrict const dx = in->image_gradient(n) + run.from;
      const T* __restrict const dy = out->image_gradient(n) + run.to;
      for (int i = 0; i < run.count; i++) dx[i] += dy[i];
    });
  }
};

// `in` is x, `out` its copy.
template <class T>
class Copy : public Layer<T> {
 public:
  Copy(const Context<T>& context, const LenetLayer& spec) : Layer<T>(context, spec, false) {}

  Needs needs() const override {
    if (!by_images(*in)) return {};
    return {Needs::kKept, Needs::kAgain, false, false};
  }

  void pack() override {
    if (out->passing) out->again = [this](int n) { each_row(in->layout, out->layout, [&](const Run& run) { copy(n, run); }); };
  }

  void forward(Schedule& schedule) override {
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) { copy(n, run); });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  void copy(int n, const Run& run) const {
    std::memcpy(out->image(n) + run.to, in->image(n) + run.from, size_t(run.count) * sizeof(T));
  }
};

// `in` is the body's term, which has the layout of the sum.
template <class T>
class Add : public Layer<T> {
 public:
  Add(const Context<T>& context, const LenetLayer& spec, Blob<T>& other)
      : Layer<T>(context, spec, false), other_(other) {}

  Needs needs() const override {
    if (!by_images(*out)) return {};
    return {Needs::kOnce, Needs::kOnce, false, false};
  }

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
