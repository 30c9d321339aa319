// Conv2d with one input channel per group. With several output channels per group, the layer reads a copy of its input in
// which each channel is repeated for each of them.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "conv_backward_dense.h"
#include "depthwise.h"
#include "layer.h"
#include "optimizer.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

template <class T>
class DepthwiseConv : public Layer<T> {
 public:
  DepthwiseConv(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained),
        kernel_(spec.kernel),
        repeats_(spec.outputs / spec.inputs),
        width_(padded<T>(spec.outputs)),
        size_(kernel_ * kernel_ * width_) {}

  Needs needs() const override { return {this->trained_ ? Needs::kAgain : Needs::kOnce, Needs::kOnce, true, true}; }

  void allocate(Arena& arena) override {
    const Optimizer<T>& optimizer = this->context_.optimizer;
    weight_.allocate(arena, size_, optimizer, this->trained_);
    bias_.allocate(arena, width_, optimizer, this->trained_);
    zeros_ = arena.array<T>(width_);
    if (this->trained_) gradients_ = arena.array<T>(size_t(kMostSlices) * (size_ + width_));
    repeated_ = in->layout;
    repeated_.channels = this->spec_.outputs;
    bordered_ = out->layout;
    bordered_.border_y = std::max(0, kernel_ - 1 - this->spec_.pad_y);
    bordered_.border_x = std::max(0, kernel_ - 1 - this->spec_.pad_x);
    const bool passes = this->trained_ && in->needs_gradient;
    scratch_.resize(this->context_.threads);
    for (Scratch& scratch : scratch_) {
      if (repeats_ > 1) scratch.x = arena.array<T>(repeated_.template stride<T>());
      if (repeats_ > 1 && passes) scratch.dx = arena.array<T>(repeated_.template stride<T>());
      if (passes) scratch.dz = arena.array<T>(bordered_.template stride<T>());
    }
  }
  void pack() override {
    weight_.load(this->spec_.weight, weight_map());
    bias_.load(this->spec_.bias, in_order(this->spec_.outputs));
  }
  void unpack(int64_t steps) override {
    if (!this->trained_) return;
    weight_.save(this->spec_.weight, weight_map(), steps);
    bias_.save(this->spec_.bias, in_order(this->spec_.outputs), steps);
  }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      const Layout& to = out->layout;
      for (int n = slice.images.begin; n < slice.images.end; n++) {
        const Maps<const T> x = windows(n, scratch_[worker.index]);
        depthwise(taps(x), strided(x), weight_.value, every(bias_.value), out->maps(n), to.height, to.width, to.channels);
      }
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      const Layout& to = out->layout;
      in->restore(slice.images);
      T* const dw = gradients_ + size_t(slice.index) * (size_ + width_);
      std::memset(dw, 0, size_t(size_ + width_) * sizeof(T));
      for (int n = slice.images.begin; n < slice.images.end; n++) {
        const Maps<const T> dz = out->gradient_maps(n), x = windows(n, scratch_[worker.index]);
        if (this->spec_.bias.value && !out->before_norm)
          for (int y = 0; y < to.height; y++) conv_bias_gradient(dz.at(0, y, 0), to.width, to.channels, dw + size_);
        depthwise_weight_gradient(taps(x), strided(x), dz, to.height, to.width, to.channels, dw);
        if (in->needs_gradient) input_gradient(n, scratch_[worker.index]);
      }
    });
  }

  void update(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.columns(Split::features<T>(this->spec_.outputs), [this](const Step& step, Range channels, const Worker&) {
      const int slices = slice_count(step.images);
      for (int at = 0; at < size_; at += width_) update(weight_, at, channels, at, step, slices);
      if (this->spec_.bias.value) update(bias_, 0, channels, size_, step, slices);
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  // Memory of one worker, for one image.
  struct Scratch {
    T* x = nullptr;   // the input with its channels repeated
    T* dx = nullptr;  // the gradient of that
    T* dz = nullptr;  // the outputs' gradient with the border of zeros that the input's gradient needs
  };

  // The taps of an output's window, for inputs in `x`.
  Taps taps(const Maps<const T>& x) const { return {kernel_, kernel_, x.row, x.column, kernel_ * width_, width_}; }
  // From one output's window to the next one's.
  Maps<const T> strided(const Maps<const T>& x) const {
    return {x.data, x.image, x.row * this->spec_.stride_y, x.column * this->spec_.stride_x};
  }
  static Maps<const T> every(const T* values) { return {values, 0, 0, 0}; }  // the same at every position

  // The input, from the top left corner of the first window.
  Maps<const T> windows(int n, const Scratch& scratch) const {
    const int y = -this->spec_.pad_y, x = -this->spec_.pad_x;
    if (repeats_ == 1) return in->maps(n, y, x);
    each_value([&](int from, int to) { std::fill_n(scratch.x + to, repeats_, in->image(n)[from]); });
    return {scratch.x + repeated_.at(y, x), 0, repeated_.row(), repeated_.channels};
  }

  // Calls work(offset of an input, offset of the first of its repeats).
  template <class Work>
  void each_value(Work work) const {
    const Layout& from = in->layout;
    for (int y = 0; y < from.height; y++)
      for (int i = 0; i < from.width * from.channels; i++) work(from.at(y, 0) + i, repeated_.at(y, 0) + i * repeats_);
  }

  void input_gradient(int n, const Scratch& scratch) const {
    const Layout& to = out->layout;
    for (int y = 0; y < to.height; y++)
      std::memcpy(scratch.dz + bordered_.at(y, 0), out->image_gradient(n) + to.at(y, 0),
                  size_t(to.width) * to.channels * sizeof(T));
    if (repeats_ == 1) return input_gradient(scratch.dz, in->gradient_maps(n));
    input_gradient(scratch.dz, {scratch.dx + repeated_.at(0, 0), 0, repeated_.row(), repeated_.channels});
    each_value([&](int at, int repeated) {
      T sum = 0;
      for (int i = 0; i < repeats_; i++) sum += scratch.dx[repeated + i];
      in->image_gradient(n)[at] = sum;
    });
  }

  // With a stride of 2, outputs meet the even rows (or columns) of the padded input with the kernel's even ones and the odd
  // rows with its odd ones: for each, a convolution of neighbouring outputs.
  void input_gradient(const T* dz, const Maps<T>& dx) const {
    const LenetLayer& spec = this->spec_;
    const int row = bordered_.row(), column = bordered_.channels;
    for (int y = 0; y < spec.stride_y; y++)
      for (int x = 0; x < spec.stride_x; x++) {
        const int top = y + spec.pad_y, left = x + spec.pad_x, ky = top % spec.stride_y, kx = left % spec.stride_x;
        const Taps taps = {count(ky, kernel_, spec.stride_y), count(kx, kernel_, spec.stride_x), -row, -column,
                           spec.stride_y * kernel_ * width_, spec.stride_x * width_};
        const Maps<const T> from = {dz + bordered_.at(top / spec.stride_y, left / spec.stride_x), 0, row, column};
        const Maps<T> to = {dx.at(0, y, x), 0, spec.stride_y * dx.row, spec.stride_x * dx.column};
        depthwise(taps, from, weight_.value + (ky * kernel_ + kx) * width_, every(zeros_), to,
                  count(y, in->layout.height, spec.stride_y), count(x, in->layout.width, spec.stride_x), column);
      }
  }

  // How many of first, first + step, ... are below end.
  static int count(int first, int end, int step) { return (end - first + step - 1) / step; }

  // Sums the slices' gradients of these channels, `gradient` values after their begin, and updates the parameter's values
  // from `at` on.
  void update(const Parameter<T>& parameter, int at, Range channels, int gradient, const Step& step, int slices) const {
    const int count = channels.size();
    T* __restrict const sum = gradients_ + gradient + channels.begin;
    for (int s = 1; s < slices; s++) {
      const T* __restrict const part = sum + size_t(s) * (size_ + width_);
      for (int i = 0; i < count; i++) sum[i] += part[i];
    }
    const Optimizer<T>& optimizer = this->context_.optimizer;
    optimizer.update(parameter, optimizer.rates(parameter, step), at + channels.begin, count, sum);
  }

  // From PyTorch's [outputs][1][kernel][kernel] to [kernel][kernel][width].
  auto weight_map() const {
    return [this](auto each) {
      const int taps = kernel_ * kernel_;
      for (int o = 0; o < this->spec_.outputs; o++)
        for (int t = 0; t < taps; t++) each(o * taps + t, t * width_ + o);
    };
  }

  const int kernel_;
  const int repeats_;             // output channels per input channel
  const int width_;               // output channels, padded to vectors
  const int size_;                // of the weight
  Layout repeated_, bordered_;    // of Scratch
  Parameter<T> weight_;           // [kernel][kernel][width]
  Parameter<T> bias_;             // [width]
  T* zeros_ = nullptr;            // [width]
  T* gradients_ = nullptr;        // [slices][size + width]: the weight's, then the bias's
  std::vector<Scratch> scratch_;
};

LENET_DEFINE_LAYER(make_depthwise_conv, DepthwiseConv)

}  // namespace lenet
