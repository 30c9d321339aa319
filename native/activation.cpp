// ReLU and tanh on their own, where no convolution before them takes them along.
#include "functions.h"
#include "layer.h"

namespace lenet {

template <class T>
class Activation : public Layer<T> {
 public:
  Activation(const Context<T>& context, const LenetLayer& spec, bool learns) : Layer<T>(context, spec, learns) {}

  void forward(Schedule& schedule) override {
    each_run(schedule, [this](int n, int from, int to, int count) {
      const T* const x = in->image(n) + from;
      T* const y = out->image(n) + to;
      if (this->spec_.kind == kRelu)
        // Not x > 0 ? x : 0, which would swallow the NaN that torch keeps.
        for (int i = 0; i < count; i++) y[i] = x[i] < 0 ? T(0) : x[i];
      else
        for (int i = 0; i < count; i += kLanes<T>) store_first(y + i, tanh<T>(load(x + i)), count - i);
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    each_run(schedule, [this](int n, int from, int to, int count) {
      T* const dx = in->image_gradient(n) + from;
      const T* const y = out->image(n) + to;
      const T* const dy = out->image_gradient(n) + to;
      if (this->spec_.kind == kRelu)
        for (int i = 0; i < count; i++) dx[i] = y[i] > 0 ? dy[i] : T(0);
      else
        for (int i = 0; i < count; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  // Calls run(image, offset in `in`, offset in `out`, count) for the contiguous runs of all images.
  template <class Run>
  void each_run(Schedule& schedule, Run run) {
    const Layout from = in->layout, to = out->layout;
    if (from.height * from.width == 1 || in->flat) {
      schedule.columns(Split::features<T>(in->columns()), [run](const Step& step, Range columns, const Worker&) {
        for (int n = 0; n < step.images; n++) run(n, columns.begin, columns.begin, columns.end - columns.begin);
      });
    } else {
      schedule.images([run, from, to](const Step&, const Slice& slice, const Worker&) {
        for (int n = slice.images.begin; n < slice.images.end; n++)
          for (int y = 0; y < from.height; y++) run(n, from.at(y, 0), to.at(y, 0), from.width * from.channels);
      });
    }
  }
};

template <class T>
LayerPointer<T> make_activation(const Context<T>& context, const LenetLayer& spec, bool learns) {
  return std::make_unique<Activation<T>>(context, spec, learns);
}

template LayerPointer<float> make_activation(const Context<float>&, const LenetLayer&, bool);
template LayerPointer<double> make_activation(const Context<double>&, const LenetLayer&, bool);

}  // namespace lenet
