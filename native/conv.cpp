// Conv2d as a single layer, where ConvBlock does not apply.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "conv_backward_dense.h"
#include "conv_forward.h"
#include "conv_weights.h"
#include "layer.h"
#include "schedule.h"
#include "team.h"
#include "winograd.h"
#include "winograd_gradient.h"

namespace lenet {

// The three passes of a convolution by Winograd's algorithm.
template <class T>
struct WinogradPasses {
  explicit WinogradPasses(const ConvWeights<T>& weights)
      : forward(weights, Winograd<T>::kForward), input(weights, Winograd<T>::kInputGradient), weight(weights) {}

  Winograd<T> forward, input;
  WinogradGradient<T> weight;
};

template <class T>
class Conv : public Layer<T> {
 public:
  Conv(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained),
        weights_(spec, trained),
        winograd_(winograd_pays(weights_) ? std::make_unique<WinogradPasses<T>>(weights_) : nullptr) {}

  void allocate(Arena& arena) override {
    const Layout &from = in->layout, &to = out->layout;
    const int threads = this->context_.threads;
    weights_.allocate(arena, this->context_, true, false);
    if (!winograd_) return;
    group_ = winograd_group(to.height, to.width);
    winograd_->forward.allocate(arena, threads, to.height, to.width);
    if (!this->trained_) return;
    winograd_->weight.allocate(arena, threads, to.height, to.width);
    if (!in->needs_gradient) return;
    winograd_->input.allocate(arena, threads, from.height, from.width);
    bordered_ = to;
    bordered_.border_y = std::max(0, weights_.kernel - 1 - this->spec_.pad_y);
    bordered_.border_x = std::max(0, weights_.kernel - 1 - this->spec_.pad_x);
    dz_ = arena.array<T>(size_t(threads) * group_ * bordered_.template stride<T>());
  }
  void pack() override {
    weights_.pack();
    if (winograd_) winograd_->forward.pack();
    if (dz_) winograd_->input.pack();
  }
  void unpack() override { weights_.unpack(); }
  void count_step() override { weights_.count_step(); }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      const Layout& to = out->layout;
      each_group(slice, [&](int n, int images) {
        const T* const bias = weights_.bias.value;
        if (winograd_)
          winograd_->forward.convolve(windows(n), images, out->maps(n), to.channels, bias, worker);
        else
          conv_channels(weights_, windows(n), to.height, to.width, out->maps(n), to.channels);
      });
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      winograd_ ? weights_.clear_bias(slice.index) : weights_.clear(slice.index);
      each_group(slice, [&](int n, int images) {
        if (this->spec_.bias.value && !out->before_norm) bias_gradient(n, images, slice.index);
        winograd_ ? winograd_backward(n, images, n == slice.images.begin, worker) : direct_backward(n, slice.index);
      });
      if (winograd_) winograd_->weight.finish(weights_.weight_gradient(slice.index), worker);
    });
  }

  void update(Schedule& schedule) override {
    if (!this->trained_) return;
    weights_.update(schedule, this->context_.optimizer);
    if (winograd_) winograd_->forward.update(schedule);
    if (dz_) winograd_->input.update(schedule);
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  // Calls work(first image, number of images) for the groups of a slice.
  template <class Work>
  void each_group(const Slice& slice, Work work) const {
    for (int n = slice.images.begin; n < slice.images.end; n += group_)
      work(n, std::min(group_, slice.images.end - n));
  }

  // The input from the top left corner of image n's first window; its border may be wider than this layer's padding.
  Maps<const T> windows(int n) const { return in->maps(n, -this->spec_.pad_y, -this->spec_.pad_x); }

  void bias_gradient(int n, int images, int slice) {
    const Layout& to = out->layout;
    for (int end = n + images; n < end; n++)
      for (int y = 0; y < to.height; y++)
        conv_bias_gradient(out->image_gradient(n) + to.at(y, 0), to.width, to.channels, weights_.bias_gradient(slice));
  }

  void winograd_backward(int n, int images, bool first, const Worker& worker) {
    if (!dz_) {
      winograd_->weight.add(windows(n), out->gradient_maps(n), images, first, worker);
      return;
    }
    // A copy with the border of zeros that the input's gradient needs.
    const Layout& to = out->layout;
    const int stride = bordered_.template stride<T>();
    T* const dz = dz_ + size_t(worker.index) * group_ * stride;
    for (int i = 0; i < images; i++)
      for (int y = 0; y < to.height; y++)
        std::memcpy(dz + size_t(i) * stride + bordered_.at(y, 0), out->image_gradient(n + i) + to.at(y, 0),
                    size_t(to.width) * to.channels * sizeof(T));
    const Maps<const T> copy = {dz, size_t(stride), bordered_.row(), to.channels};
    winograd_->weight.add(windows(n), copy.from(bordered_.at(0, 0)), images, first, worker);
    const int y = this->spec_.pad_y + 1 - weights_.kernel, x = this->spec_.pad_x + 1 - weights_.kernel;
    winograd_->input.convolve(copy.from(bordered_.at(y, x)), images, in->gradient_maps(n), in->layout.channels, nullptr,
                              worker);
  }

  void direct_backward(int n, int slice) {
    const Layout &from = in->layout, &to = out->layout;
    const Gradients<T> dz = {out->image_gradient(n) + to.at(0, 0), to.height, to.width, to.row(), to.channels, 1};
    const int x_column = weights_.stride_x * from.channels;
    conv_weight_gradient(weights_, windows(n).data, from.row(), x_column, dz, weights_.weight_gradient(slice));
    if (!in->needs_gradient) return;
    std::memset(in->image_gradient(n), 0, size_t(in->stride) * sizeof(T));
    T* const corner = in->gradient_maps(n, -this->spec_.pad_y, -this->spec_.pad_x).data;
    conv_input_gradient(weights_, corner, from.row(), dz);
  }

  ConvWeights<T> weights_;
  std::unique_ptr<WinogradPasses<T>> winograd_;  // null where direct sums are faster
  int group_ = 1;                                // images that are processed together
  Layout bordered_;                              // of the copies in dz_
  T* dz_ = nullptr;  // [threads][group]: gradients of the outputs, if Winograd computes the input's gradient
};

LENET_DEFINE_LAYER(make_conv, Conv)

}  // namespace lenet
