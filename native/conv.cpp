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
#include "winograd.h"

namespace lenet {

template <class T>
class Conv : public Layer<T> {
 public:
  Conv(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained),
        weights_(spec, trained),
        winograd_(Winograd<T>::pays(weights_) ? std::make_unique<Winograd<T>>(weights_) : nullptr) {}

  void allocate(Arena& arena) override {
    weights_.allocate(arena, this->context_, true, false);
    if (winograd_) winograd_->allocate(arena, this->context_.threads, out->layout.height, out->layout.width);
    z_ = arena.array<T>(size_t(this->context_.threads) * out->layout.height * row());
  }
  void pack() override {
    weights_.pack();
    if (winograd_) winograd_->pack();
  }
  void unpack() override { weights_.unpack(); }
  void count_step() override { weights_.count_step(); }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      const Layout &from = in->layout, &to = out->layout;
      T* const z = z_ + size_t(worker.index) * to.height * row();
      for (int n = slice.images.begin; n < slice.images.end; n++) {
        if (winograd_)
          winograd_->convolve(in->image(n), from.row(), z, row(), worker);
        else
          conv_channels(weights_, in->image(n), from.row(), to.height, to.width, z, row());
        for (int y = 0; y < to.height; y++)
          for (int x = 0; x < to.width; x++)
            std::memcpy(out->image(n) + to.at(y, x), z + y * row() + x * weights_.width, size_t(to.channels) * sizeof(T));
      }
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      weights_.clear(slice.index);
      for (int n = slice.images.begin; n < slice.images.end; n++) image_backward(n, slice.index);
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

  int row() const { return out->layout.width * weights_.width; }

  void image_backward(int n, int slice) {
    const Layout &from = in->layout, &to = out->layout;
    const Gradients<T> dz = {out->image_gradient(n) + to.at(0, 0), to.height, to.width, to.row(), to.channels, 1};
    const int x_column = weights_.stride_x * from.channels;
    conv_weight_gradient(weights_, in->image(n), from.row(), x_column, dz, weights_.weight_gradient(slice));
    for (int y = 0; y < to.height; y++)
      conv_bias_gradient(dz.data + y * dz.row, to.width, to.channels, weights_.bias_gradient(slice));
    if (!in->needs_gradient) return;
    std::memset(in->image_gradient(n), 0, size_t(in->stride) * sizeof(T));
    conv_input_gradient(weights_, in->image_gradient(n), from.row(), dz);
  }

  ConvWeights<T> weights_;
  std::unique_ptr<Winograd<T>> winograd_;  // null where conv_channels is faster
  T* z_ = nullptr;  // [threads][height][columns][width]
};

LENET_DEFINE_LAYER(make_conv, Conv)

}  // namespace lenet
