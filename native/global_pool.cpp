// AdaptiveAvgPool2d(1): the mean over all positions, one value per channel.
#include "blob.h"
#include "layer.h"
#include "schedule.h"
#include "team.h"

namespace lenet {

template <class T>
class GlobalPool : public Layer<T> {
 public:
  using Layer<T>::Layer;

  Needs needs() const override { return {Needs::kOnce, Needs::kOnce, true, true}; }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      const int channels = in->layout.channels;
      for (int n = slice.images.begin; n < slice.images.end; n++) {
        T* const y = out->image(n) + out->layout.at(0, 0);
        for (int c = 0; c < channels; c++) y[c] = 0;
        each_position([&](int at) {
          const T* const x = in->image(n) + at;
          for (int c = 0; c < channels; c++) y[c] += x[c];
        });
        for (int c = 0; c < channels; c++) y[c] *= weight_;
      }
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      const int channels = in->layout.channels;
      for (int n = slice.images.begin; n < slice.images.end; n++) {
        const T* const dy = out->image_gradient(n) + out->layout.at(0, 0);
        each_position([&](int at) {
          T* const dx = in->image_gradient(n) + at;
          for (int c = 0; c < channels; c++) dx[c] = dy[c] * weight_;
        });
      }
    });
  }

  void pack() override { weight_ = T(1) / T(in->layout.height * in->layout.width); }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  template <class Each>
  void each_position(Each each) const {
    for (int y = 0; y < in->layout.height; y++)
      for (int x = 0; x < in->layout.width; x++) each(in->layout.at(y, x));
  }

  T weight_ = 0;  // 1 / number of positions
};

LENET_DEFINE_LAYER(make_global_pool, GlobalPool)

}  // namespace lenet
