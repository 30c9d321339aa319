// ReLU, leaky ReLU and tanh as single layers. After a convolution and before a pool they are part of a ConvBlock.
#include "api.h"
#include "blob.h"
#include "layer.h"
#include "schedule.h"
#include "vector.h"
#include "vector_math.h"

namespace lenet {

template <class T>
class Activation : public Layer<T> {
 public:
  using Layer<T>::Layer;

  void forward(Schedule& schedule) override {
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      const T* const x = in->image(n) + run.from;
      T* const y = out->image(n) + run.to;
      const int count = run.count;
      if (this->spec_.kind == kRelu)
        // x > 0 ? x : 0 would turn NaN into 0; PyTorch keeps NaN.
        for (int i = 0; i < count; i++) y[i] = x[i] < 0 ? T(0) : x[i];
      else if (this->spec_.kind == kLeakyRelu)
        for (int i = 0; i < count; i++) y[i] = x[i] < 0 ? slope_ * x[i] : x[i];
      else
        for (int i = 0; i < count; i += kLanes<T>) store_first(y + i, tanh<T>(load(x + i)), count - i);
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      T* const dx = in->image_gradient(n) + run.from;
      const T* const y = out->image(n) + run.to;
      const T* const dy = out->image_gradient(n) + run.to;
      const int count = run.count;
      if (this->spec_.kind == kRelu)
        for (int i = 0; i < count; i++) dx[i] = y[i] > 0 ? dy[i] : T(0);
      else if (this->spec_.kind == kLeakyRelu)  // the slope is not negative, so y and x have the same sign
        for (int i = 0; i < count; i++) dx[i] = y[i] > 0 ? dy[i] : slope_ * dy[i];
      else
        for (int i = 0; i < count; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  const T slope_ = T(this->spec_.slope);
};

LENET_DEFINE_LAYER(make_activation, Activation)

}  // namespace lenet
