// BatchNorm1d, by columns. BatchNorm2d is a MapNorm, or part of a ConvBlock.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "channel_norm.h"
#include "layer.h"
#include "schedule.h"
#include "team.h"

namespace lenet {

template <class T>
class BatchNorm : public Layer<T> {
 public:
  BatchNorm(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained), norm_(spec) {}

  void allocate(Arena& arena) override { norm_.allocate(arena, this->context_, this->trained_); }
  void pack() override { norm_.pack(map()); }
  void unpack(int64_t steps) override {
    if (this->trained_) norm_.unpack(map(), steps);
  }

  void forward(Schedule& schedule) override {
    schedule.columns(Split::features<T>(channels()), [this](const Step& step, Range columns, const Worker&) {
      if (this->trained_)
        measure(step.images, columns);
      else
        norm_.use_running(columns);
      const int begin = columns.begin, count = columns.size();
      const T *const scale = norm_.scale + begin, *const shift = norm_.shift + begin;
      each_position(step.images, [&](int n, int from, int to) {
        const T* __restrict const x = in->image(n) + from + begin;
        T* __restrict const y = out->image(n) + to + begin;
        for (int c = 0; c < count; c++) y[c] = x[c] * scale[c] + shift[c];
      });
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.columns(Split::features<T>(channels()), [this](const Step& step, Range columns, const Worker&) {
      const int begin = columns.begin, count = columns.size();
      T* __restrict const dweight = norm_.dweight + begin;
      T* __restrict const dbias = norm_.dbias + begin;
      const T *const mean = norm_.mean + begin, *const inverse = norm_.inverse + begin;
      std::memset(dweight, 0, size_t(count) * sizeof(T));
      std::memset(dbias, 0, size_t(count) * sizeof(T));
      each_position(step.images, [&](int n, int from, int to) {
        const T* __restrict const x = in->image(n) + from + begin;
        const T* __restrict const dy = out->image_gradient(n) + to + begin;
        for (int c = 0; c < count; c++) {
          dbias[c] += dy[c];
          dweight[c] += dy[c] * ((x[c] - mean[c]) * inverse[c]);
        }
      });
      if (in->needs_gradient) {
        const T share = T(1) / T(int64_t(step.images) * positions());
        const T* const scale = norm_.scale + begin;
        each_position(step.images, [&](int n, int from, int to) {
          const T* __restrict const x = in->image(n) + from + begin;
          const T* __restrict const dy = out->image_gradient(n) + to + begin;
          T* __restrict const dx = in->image_gradient(n) + from + begin;
          for (int c = 0; c < count; c++)
            dx[c] = scale[c] * (dy[c] - share * (dbias[c] + (x[c] - mean[c]) * inverse[c] * dweight[c]));
        });
      }
      norm_.update(this->context_.optimizer, step, columns);
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  int channels() const { return in->flat ? in->columns() : in->layout.channels; }
  int positions() const { return in->columns() / channels(); }

  auto map() const {
    return [this](auto each) {
      for (int c = 0; c < channels(); c++) each(in->flat ? in->layout.unit(c) : c, c);
    };
  }

  template <class Each>
  void each_position(int images, Each each) const {
    const Layout &from = in->layout, &to = out->layout;
    const int height = in->flat ? 1 : from.height, width = in->flat ? 1 : from.width;
    for (int n = 0; n < images; n++)
      for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) each(n, from.at(y, x), to.at(y, x));
  }

  // The batch's mean and variance in two passes: a single pass loses precision where the mean is large.
  void measure(int images, Range columns) {
    const int begin = columns.begin, count = columns.size();
    const int64_t values = int64_t(images) * positions();
    T* __restrict const mean = norm_.mean + begin;
    T* __restrict const squares = norm_.inverse + begin;
    std::memset(mean, 0, size_t(count) * sizeof(T));
    std::memset(squares, 0, size_t(count) * sizeof(T));
    each_position(images, [&](int n, int from, int) {
      const T* __restrict const x = in->image(n) + from + begin;
      for (int c = 0; c < count; c++) mean[c] += x[c];
    });
    for (int c = 0; c < count; c++) mean[c] /= T(values);
    each_position(images, [&](int n, int from, int) {
      const T* __restrict const x = in->image(n) + from + begin;
      for (int c = 0; c < count; c++) squares[c] += (x[c] - mean[c]) * (x[c] - mean[c]);
    });
    norm_.use_batch(columns, values);
  }

  ChannelNorm<T> norm_;
};

LENET_DEFINE_LAYER(make_batch_norm, BatchNorm)

}  // namespace lenet
