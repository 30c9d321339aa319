// Max and average pooling as a single layer, where ConvBlock does not apply. Windows may overlap and reach into a border,
// which a maximum ignores and a mean counts as zeros. Rows and columns after the last window are ignored.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "layer.h"
#include "schedule.h"
#include "team.h"

namespace lenet {

template <class T>
class Pool : public Layer<T> {
 public:
  Pool(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained), maximum_(spec.kind == kMaxPool), share_(1 / T(spec.kernel * spec.kernel)) {}

  Needs needs() const override { return {Needs::kOnce, Needs::kOnce, true, true}; }

  void allocate(Arena& arena) override {
    if (in->needs_gradient && maximum_)
      winners_ = arena.array<uint8_t>(size_t(this->context_.most_images) * out->layout.values());
  }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      each_window(slice, [this](int n, const Window& window) {
        T* const y = out->image(n) + window.to;
        const T* const x = in->image(n);
        if (maximum_)
          maximum(window, x, y, winners_ ? winners(n, window) : nullptr);
        else
          mean(window, x, y);
      });
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      for (int n = slice.images.begin; n < slice.images.end; n++)
        std::memset(in->image_gradient(n), 0, size_t(in->stride) * sizeof(T));
      each_window(slice, [this](int n, const Window& window) {
        const T* const dy = out->image_gradient(n) + window.to;
        T* const dx = in->image_gradient(n);
        const int channels = out->layout.channels;
        if (maximum_) {
          const uint8_t* const winner = winners(n, window);
          for (int c = 0; c < channels; c++) dx[value_at(window, winner[c]) + c] += dy[c];
        } else {
          each_value(window, [&](int, int at) {
            for (int c = 0; c < channels; c++) dx[at + c] += dy[c] * share_;
          });
        }
      });
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  // The part of a window that lies in the image.
  struct Window {
    int y, x;         // of its first value, which may lie in the border
    Range rows, columns;  // of the window, from 0 to the kernel's size
    int position;     // index of the pooled value in the image, and its offset
    int to;
  };

  template <class Each>
  void each_window(const Slice& slice, Each each) const {
    const LenetLayer& spec = this->spec_;
    const Layout &from = in->layout, &to = out->layout;
    const auto inside = [&](int first, int size) {
      return Range{std::max(0, -first), std::min(spec.kernel, size - first)};
    };
    for (int n = slice.images.begin; n < slice.images.end; n++)
      for (int py = 0, position = 0; py < to.height; py++)
        for (int px = 0; px < to.width; px++, position++) {
          const int y = py * spec.stride_y - spec.pad_y, x = px * spec.stride_x - spec.pad_x;
          each(n, Window{y, x, inside(y, from.height), inside(x, from.width), position, to.at(py, px)});
        }
  }

  // Calls each(index in the window, offset of the first channel in the image) for the values of a window.
  template <class Each>
  void each_value(const Window& window, Each each) const {
    for (int ky = window.rows.begin; ky < window.rows.end; ky++)
      for (int kx = window.columns.begin; kx < window.columns.end; kx++) {
        const int index = ky * this->spec_.kernel + kx;
        each(index, value_at(window, index));
      }
  }

  int value_at(const Window& window, int index) const {
    return in->layout.at(window.y + index / this->spec_.kernel, window.x + index % this->spec_.kernel);
  }

  uint8_t* winners(int n, const Window& window) const {
    return winners_ + size_t(n) * size_t(out->layout.values()) + size_t(window.position) * out->layout.channels;
  }

  // As in PyTorch, the first of equal values wins, and NaN wins over all.
  void maximum(const Window& window, const T* x, T* y, uint8_t* winner) const {
    const int channels = out->layout.channels, first = window.rows.begin * this->spec_.kernel + window.columns.begin;
    std::fill(y, y + channels, -std::numeric_limits<T>::infinity());
    if (winner) std::memset(winner, first, channels);
    each_value(window, [&](int index, int at) {
      for (int c = 0; c < channels; c++) {
        const T value = x[at + c];
        const bool wins = value > y[c] || value != value;
        y[c] = wins ? value : y[c];
        if (winner) winner[c] = wins ? uint8_t(index) : winner[c];
      }
    });
  }

  void mean(const Window& window, const T* x, T* y) const {
    const int channels = out->layout.channels;
    std::fill(y, y + channels, T(0));
    each_value(window, [&](int, int at) {
      for (int c = 0; c < channels; c++) y[c] += x[at + c];
    });
    for (int c = 0; c < channels; c++) y[c] *= share_;
  }

  const bool maximum_;
  const T share_;  // of each value in a mean
  uint8_t* winners_ = nullptr;  // [images][positions][channels]: index of the maximum in its window
};

LENET_DEFINE_LAYER(make_pool, Pool)

}  // namespace lenet
