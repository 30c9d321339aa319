// 2x2 max and average pooling as a single layer, where ConvBlock does not apply. An odd last row or column is ignored.
#include <cstddef>
#include <cstdint>
#include <cstring>

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
  using Layer<T>::Layer;

  void allocate(Arena& arena) override {
    if (in->needs_gradient && this->spec_.kind == kMaxPool)
      winners_ = arena.array<uint8_t>(size_t(this->context_.most_images) * out->layout.values());
  }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      const Layout& from = in->layout;
      const int right = from.channels, below = from.row();
      each_value(slice, [&](int n, int value, int source, int target) {
        const T* const x = in->image(n) + source;
        T& y = out->image(n)[target];
        if (this->spec_.kind == kAveragePool) {
          y = (x[0] + x[right] + x[below] + x[below + right]) * T(0.25);
          return;
        }
        // As in PyTorch, the first of equal values wins, and NaN wins over all.
        const T four[] = {x[0], x[right], x[below], x[below + right]};
        int winner = 0;
        for (int i = 1; i < 4; i++)
          if (four[i] > four[winner] || four[i] != four[i]) winner = i;
        y = four[winner];
        if (winners_) winners_[winner_at(n, value)] = uint8_t(winner);
      });
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      const Layout& from = in->layout;
      const int offsets[] = {0, from.channels, from.row(), from.row() + from.channels};
      for (int n = slice.images.begin; n < slice.images.end; n++)
        std::memset(in->image_gradient(n), 0, size_t(in->stride) * sizeof(T));
      each_value(slice, [&](int n, int value, int source, int target) {
        T* const dx = in->image_gradient(n) + source;
        const T dy = out->image_gradient(n)[target];
        if (winners_)
          dx[offsets[winners_[winner_at(n, value)]]] = dy;
        else
          for (int offset : offsets) dx[offset] = dy * T(0.25);
      });
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  // Calls each(image, index of the pooled value, offset of its window's top left input, offset of the pooled value).
  template <class Each>
  void each_value(const Slice& slice, Each each) {
    const Layout &from = in->layout, &to = out->layout;
    for (int n = slice.images.begin; n < slice.images.end; n++)
      for (int y = 0, value = 0; y < to.height; y++)
        for (int x = 0; x < to.width; x++)
          for (int c = 0; c < to.channels; c++) each(n, value++, from.at(2 * y, 2 * x) + c, to.at(y, x) + c);
  }

  size_t winner_at(int n, int value) const { return size_t(n) * size_t(out->layout.values()) + size_t(value); }

  uint8_t* winners_ = nullptr;  // [images][values]: index of the maximum in its window
};

LENET_DEFINE_LAYER(make_pool, Pool)

}  // namespace lenet
