// BatchNorm2d and the activation after it, where ConvBlock does not apply. Both passes go over the maps image by image, in
// the stage of the layers before and after: a slice's values are still in the L2 cache.
#include <cstddef>
#include <cstring>

#include "activations.h"
#include "api.h"
#include "arena.h"
#include "blob.h"
#include "channel_norm.h"
#include "layer.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

template <class T>
class MapNorm : public Layer<T> {
 public:
  // activation: null if none follows
  MapNorm(const Context<T>& context, const LenetLayer& spec, const LenetLayer* activation, bool trained)
      : Layer<T>(context, spec, trained), norm_(spec), activation_(activation) {}

  Needs needs() const override {
    if (!this->trained_) return {Needs::kOnce, Needs::kAgain, false, false};
    // The gradient of tanh is computed from its output.
    return {Needs::kKept, activation_ && activation_->kind == kTanh ? Needs::kKept : Needs::kAgain, false, true};
  }

  void allocate(Arena& arena) override {
    norm_.allocate(arena, this->context_, this->trained_);
    if (this->trained_) norm_.allocate_measures(arena, this->context_.most_images);
  }
  void pack() override {
    norm_.pack(in_order(channels()));
    if (!this->trained_) norm_.use_running({0, channels()});
    if (out->passing) out->again = [this](int n) { normalise(n); };
  }
  void unpack(int64_t steps) override {
    if (this->trained_) norm_.unpack(in_order(channels()), steps);
  }

  void forward(Schedule& schedule) override {
    if (this->trained_) {
      schedule.images([this](const Step&, const Slice& slice, const Worker&) {
        for (int n = slice.images.begin; n < slice.images.end; n++) measure(n);
      });
      schedule.columns(Split::features<T>(channels()), [this](const Step& step, Range columns, const Worker&) {
        norm_.use_measures(columns, step.images, positions());
      });
    }
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      for (int n = slice.images.begin; n < slice.images.end; n++) normalise(n);
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      norm_.clear_slice(slice.index);
      with_activation<T>(activation_, [&](auto activation) {
        for (int n = slice.images.begin; n < slice.images.end; n++) sum_gradients(n, slice.index, activation);
      });
    });
    schedule.columns(Split::features<T>(channels()), [this](const Step& step, Range columns, const Worker&) {
      norm_.use_gradients(columns, step, positions());
      norm_.update(this->context_.optimizer, step, columns);
    });
    if (!in->needs_gradient) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      with_activation<T>(activation_, [&](auto activation) {
        for (int n = slice.images.begin; n < slice.images.end; n++) input_gradient(n, activation);
      });
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;
  using V = Vec<T>;
  static constexpr int L = kLanes<T>;

  int channels() const { return in->layout.channels; }
  int positions() const { return in->layout.height * in->layout.width; }

  // Calls work(constant Q, first channel, number of channels) for tiles of Q vectors of channels.
  template <class Work>
  void each_tile(Work work) const {
    const int width = padded<T>(channels());
    for (int c = 0; c < width;)
      c += L * with_power_of_two<2>((width - c) / L, [&](auto q) { work(q, c, channels() - c); });
  }

  // Calls work(offset in `in`, offset in `out`, 0 or 1) for each position of an image. Sums are kept apart for the last
  // argument, so that an addition need not wait for the one before.
  template <class Work>
  void each_position(Work work) const {
    const Layout &from = in->layout, &to = out->layout;
    const int channels = from.channels;
    for (int y = 0; y < from.height; y++) {
      int x = 0, a = from.at(y, 0), b = to.at(y, 0);
      for (; x + 2 <= from.width; x += 2, a += 2 * channels, b += 2 * channels) {
        work(a, b, 0);
        work(a + channels, b + channels, 1);
      }
      if (x < from.width) work(a, b, 0);
    }
  }

  // The image's mean, and its sum of squared deviations from that mean, in one pass over deviations from the first value:
  // sums of the values themselves would lose precision where the mean is large.
  void measure(int n) {
    const T count = T(positions());
    each_tile([&](auto q, int c, int) {
      constexpr int Q = q;
      const T* const x = in->image(n) + c;
      V first[Q], sum[2][Q] = {}, squares[2][Q] = {};
      for (int v = 0; v < Q; v++) first[v] = load(x + in->layout.at(0, 0) + v * L);
      each_position([&](int from, int, int part) {
        for (int v = 0; v < Q; v++) {
          const V deviation = load(x + from + v * L) - first[v];
          sum[part][v] += deviation;
          squares[part][v] += deviation * deviation;
        }
      });
      for (int v = 0; v < Q; v++) {
        const V all = sum[0][v] + sum[1][v], mean = all / count;
        store(norm_.image_mean(n) + c + v * L, first[v] + mean);
        store(norm_.image_squares(n) + c + v * L, squares[0][v] + squares[1][v] - all * mean);
      }
    });
  }

  void normalise(int n) const {
    with_activation<T>(activation_, [&](auto activation) { normalise(n, activation); });
  }

  template <class Activation>
  void normalise(int n, Activation activation) const {
    each_tile([&](auto q, int c, int count) {
      constexpr int Q = q;
      const T* const x = in->image(n) + c;
      T* const y = out->image(n) + c;
      V scale[Q], shift[Q];
      for (int v = 0; v < Q; v++) {
        scale[v] = load(norm_.scale + c + v * L);
        shift[v] = load(norm_.shift + c + v * L);
      }
      each_position([&](int from, int to, int) {
        for (int v = 0; v < Q; v++)
          store_first(y + to + v * L, activation.value(load(x + from + v * L) * scale[v] + shift[v]), count - v * L);
      });
    });
  }

  // Calls work(v, part, offset in `in`, x, gradient before the activation) for each vector of a tile of channels.
  template <int Q, class Activation, class Work>
  void each_gradient(int n, int c, Activation activation, Work work) const {
    const T* const x = in->image(n) + c;
    const T *const y = out->image(n) + c, *const dy = out->image_gradient(n) + c;
    V scale[Q], shift[Q];
    for (int v = 0; v < Q; v++) {
      scale[v] = load(norm_.scale + c + v * L);
      shift[v] = load(norm_.shift + c + v * L);
    }
    each_position([&](int from, int to, int part) {
      for (int v = 0; v < Q; v++) {
        const V value = load(x + from + v * L), output = load(y + to + v * L), gradient = load(dy + to + v * L);
        work(v, part, from, value, activation.slope(value * scale[v] + shift[v], output, gradient));
      }
    });
  }

  template <class Activation>
  void sum_gradients(int n, int slice, Activation activation) {
    each_tile([&](auto q, int c, int) {
      constexpr int Q = q;
      V mean[Q], dbias[2][Q] = {}, dweight[2][Q] = {};
      T *const dbiases = norm_.slice_dbias(slice) + c, *const dweights = norm_.slice_dweight(slice) + c;
      for (int v = 0; v < Q; v++) mean[v] = load(norm_.mean + c + v * L);
      each_gradient<Q>(n, c, activation, [&](int v, int part, int, V x, V g) {
        dbias[part][v] += g;
        dweight[part][v] += g * (x - mean[v]);
      });
      for (int v = 0; v < Q; v++) {
        store(dbiases + v * L, load(dbiases + v * L) + (dbias[0][v] + dbias[1][v]));
        store(dweights + v * L, load(dweights + v * L) + (dweight[0][v] + dweight[1][v]));
      }
    });
  }

  template <class Activation>
  void input_gradient(int n, Activation activation) const {
    each_tile([&](auto q, int c, int count) {
      constexpr int Q = q;
      T* const dx = in->image_gradient(n) + c;
      V scale[Q], by_x[Q], constant[Q];
      for (int v = 0; v < Q; v++) {
        scale[v] = load(norm_.scale + c + v * L);
        by_x[v] = load(norm_.by_x + c + v * L);
        constant[v] = load(norm_.constant + c + v * L);
      }
      each_gradient<Q>(n, c, activation, [&](int v, int, int from, V x, V g) {
        store_first(dx + from + v * L, scale[v] * g + (by_x[v] * x + constant[v]), count - v * L);
      });
    });
  }

  ChannelNorm<T> norm_;
  const LenetLayer* const activation_;
};

template <class T>
LayerPointer<T> make_map_norm(const Context<T>& context, const LenetLayer& spec, const LenetLayer* activation, bool trained) {
  return std::make_unique<MapNorm<T>>(context, spec, activation, trained);
}

template LayerPointer<float> make_map_norm(const Context<float>&, const LenetLayer&, const LenetLayer*, bool);
template LayerPointer<double> make_map_norm(const Context<double>&, const LenetLayer&, const LenetLayer*, bool);

}  // namespace lenet
