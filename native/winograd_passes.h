// The three passes of a convolution by Winograd's algorithm, which Conv and ConvBlock share.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arena.h"
#include "blob.h"
#include "conv_weights.h"
#include "schedule.h"
#include "team.h"
#include "winograd.h"
#include "winograd_gradient.h"
#include "winograd_tiles.h"

namespace lenet {

template <class T>
class WinogradPasses {
 public:
  explicit WinogradPasses(const ConvWeights<T>& weights)
      : w_(weights), forward_(weights, Winograd<T>::kForward), input_(weights, Winograd<T>::kInputGradient), weight_(weights) {}

  // in: the convolution's input, whose border is the padding; outputs: size of the outputs, and their channels in
  // `gradients`, which may be padded; trained: whether `backward` will be called
  void allocate(Arena& arena, int threads, const Blob<T>& in, const Layout& outputs, bool trained) {
    group_ = winograd_group(outputs.height, outputs.width);
    forward_.allocate(arena, threads, outputs.height, outputs.width);
    if (!trained) return;
    weight_.allocate(arena, threads, outputs.height, outputs.width);
    bordered_ = {outputs.height, outputs.width, outputs.channels, 0, 0};
    gives_input_ = in.needs_gradient;
    if (gives_input_) {
      input_.allocate(arena, threads, in.layout.height, in.layout.width);
      bordered_.border_y = std::max(0, w_.kernel - 1 - in.layout.border_y);
      bordered_.border_x = std::max(0, w_.kernel - 1 - in.layout.border_x);
    }
    stride_ = bordered_.template stride<T>();
    gradients_ = arena.array<T>(size_t(threads) * group_ * stride_);
  }

  void pack() {
    forward_.pack();
    if (gives_input_) input_.pack();
  }

  // Adds phases that transform the kernels after their update.
  void update(Schedule& schedule) {
    forward_.update(schedule);
    if (gives_input_) input_.update(schedule);
  }

  // Number of images that are processed together.
  int group() const { return group_; }

  // Writes `channels` channels of the outputs of images n, n + 1, ... to z.
  void convolve(const Blob<T>& in, int n, int images, const Maps<T>& z, int channels, const Worker& worker) const {
    forward_.convolve(in.windows(n), images, z, channels, w_.bias.value, worker);
  }

  // Where `backward` reads the outputs' gradient of a group: zero at first, within a border that must stay zero.
  Maps<T> gradients(const Worker& worker) const { return bordered(worker, 0, 0); }

  // Adds to the weight's gradient and writes the input's, if `in` needs it. first: whether a new sum begins.
  void backward(const Blob<T>& in, int n, int images, bool first, const Worker& worker) const {
    weight_.add(in.windows(n), gradients(worker), images, first, worker);
    if (!gives_input_) return;
    const Layout& from = in.layout;
    const Maps<T> dz = bordered(worker, from.border_y + 1 - w_.kernel, from.border_x + 1 - w_.kernel);
    input_.convolve(dz, images, in.gradient_maps(n), w_.inputs, nullptr, worker);
  }

  // Writes the weight's gradient, summed since `first`.
  void finish(T* dw, const Worker& worker) const { weight_.finish(dw, worker); }

 private:
  Maps<T> bordered(const Worker& worker, int y, int x) const {
    T* const first = gradients_ + size_t(worker.index) * group_ * stride_;
    return {first + bordered_.at(y, x), size_t(stride_), bordered_.row(), bordered_.channels};
  }

  const ConvWeights<T>& w_;
  Winograd<T> forward_, input_;
  WinogradGradient<T> weight_;
  int group_ = 1;
  bool gives_input_ = false;
  Layout bordered_;           // of an image in gradients_
  int stride_ = 0;            // distance between two of them
  T* gradients_ = nullptr;    // [threads][group]
};

}  // namespace lenet
