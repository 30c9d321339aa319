// Conv2d as a single layer, where ConvBlock does not apply.
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
#include "winograd_passes.h"

namespace lenet {

template <class T>
class Conv : public Layer<T> {
 public:
  Conv(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained),
        weights_(spec, trained),
        winograd_(winograd_pays(weights_) ? std::make_unique<WinogradPasses<T>>(weights_) : nullptr) {}

  Needs needs() const override { return {this->trained_ ? Needs::kAgain : Needs::kOnce, Needs::kOnce, true, true}; }

  void allocate(Arena& arena) override {
    weights_.allocate(arena, this->context_, true, false);
    if (winograd_) winograd_->allocate(arena, this->context_.threads, *in, out->layout, this->trained_);
  }
  void pack() override {
    weights_.pack();
    if (winograd_) winograd_->pack();
  }
  void unpack(int64_t steps) override { weights_.unpack(steps); }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      const Layout& to = out->layout;
      if (winograd_)
        slice.in_groups(winograd_->group(), [&](int n, int images) {
          winograd_->convolve(*in, n, images, out->maps(n), to.channels, worker);
        });
      else
        for (int n = slice.images.begin; n < slice.images.end; n++)
          conv_channels(weights_, in->windows(n), to.height, to.width, out->maps(n), to.channels);
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      in->restore(slice.images);
      if (winograd_) return winograd_backward(slice, worker);
      weights_.clear(slice.index);
      for (int n = slice.images.begin; n < slice.images.end; n++) {
        bias_gradient(n, slice.index);
        direct_backward(n, slice.index);
      }
    });
  }

  void update(Schedule& schedule) override {
    if (!this->trained_) return;
    weights_.update(schedule, this->context_.optimizer);
    if (winograd_) winograd_->update(schedule);
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  // The gradient of a bias before batch norm is exactly zero.
  void bias_gradient(int n, int slice) {
    if (!this->spec_.bias.value || out->before_norm) return;
    const Layout& to = out->layout;
    for (int y = 0; y < to.height; y++)
      conv_bias_gradient(out->image_gradient(n) + to.at(y, 0), to.width, to.channels, weights_.bias_gradient(slice));
  }

  void winograd_backward(const Slice& slice, const Worker& worker) {
    const Layout& to = out->layout;
    const Maps<T> copy = winograd_->gradients(worker);
    weights_.clear_bias(slice.index);
    slice.in_groups(winograd_->group(), [&](int n, int images) {
      for (int i = 0; i < images; i++) {
        bias_gradient(n + i, slice.index);
        for (int y = 0; y < to.height; y++)
          std::memcpy(copy.at(i, y, 0), out->image_gradient(n + i) + to.at(y, 0),
                      size_t(to.width) * to.channels * sizeof(T));
      }
      winograd_->backward(*in, n, images, n == slice.images.begin, worker);
    });
    winograd_->finish(weights_.weight_gradient(slice.index), worker);
  }

  void direct_backward(int n, int slice) {
    const Layout &from = in->layout, &to = out->layout;
    const Gradients<T> dz = {out->image_gradient(n) + to.at(0, 0), to.height, to.width, to.row(), to.channels, 1};
    const int x_column = weights_.stride_x * from.channels;
    conv_weight_gradient(weights_, in->windows(n).data, from.row(), x_column, dz, weights_.weight_gradient(slice));
    if (!in->needs_gradient) return;
    std::memset(in->image_gradient(n), 0, size_t(in->stride) * sizeof(T));
    T* const corner = in->gradient_maps(n, -this->spec_.pad_y, -this->spec_.pad_x).data;
    conv_input_gradient(weights_, corner, from.row(), dz);
  }

  ConvWeights<T> weights_;
  std::unique_ptr<WinogradPasses<T>> winograd_;  // null where direct sums are faster
};

LENET_DEFINE_LAYER(make_conv, Conv)

}  // namespace lenet
