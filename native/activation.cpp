// ReLU, leaky ReLU and tanh as single layers. After a batch norm of maps they are part of MapNorm; between a convolution
// and a pool, of a ConvBlock.
#include "activations.h"
#include "api.h"
#include "blob.h"
#include "layer.h"
#include "schedule.h"
#include "vector.h"

namespace lenet {

template <class T>
class Activation : public Layer<T> {
 public:
  using Layer<T>::Layer;

  Needs needs() const override {
    if (!by_images(*in)) return {};
    return {Needs::kOnce, in->needs_gradient ? Needs::kKept : Needs::kOnce, true, true};
  }

  void forward(Schedule& schedule) override {
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      const T* const x = in->image(n) + run.from;
      T* const y = out->image(n) + run.to;
      with_activation<T>(&this->spec_, [&](auto activation) {
        for (int i = 0; i < run.count; i += kLanes<T>) store_first(y + i, activation.value(load(x + i)), run.count - i);
      });
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      T* const dx = in->image_gradient(n) + run.from;
      const T *const y = out->image(n) + run.to, *const dy = out->image_gradient(n) + run.to;
      with_activation<T>(&this->spec_, [&](auto activation) {
        for (int i = 0; i < run.count; i += kLanes<T>) {
          const Vec<T> output = load(y + i);
          store_first(dx + i, activation.slope(output, output, load(dy + i)), run.count - i);
        }
      });
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;
};

LENET_DEFINE_LAYER(make_activation, Activation)

}  // namespace lenet
