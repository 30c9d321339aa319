// The first layer: picks a batch's images, mirrors and shifts them as the plan says, and normalises their pixels.
#pragma once

#include "conv_forward.h"
#include "layer.h"

namespace lenet {

template <class T>
class Input {
 public:
  // `normalize` is null for a head alone, whose input is features.
  Input(const LenetCall& call, const LenetLayer* normalize, Blob<T>& out);

  // The layer above takes pixels from `planes` and `rows` as it needs them: `out` is never written.
  void serve_pixels() { serves_pixels_ = true; }

  void allocate(Arena& arena, const Context<T>& context);
  void pack();
  void forward(Schedule& schedule);

  // Image n of the batch, normalised: channels last, in the layout of `out`.
  void rows(int n, T* out) const;
  // The same in even and odd columns, [channels][height][2][half]. `words` is room for words() of them.
  void planes(int n, const Planes& shape, uint32_t* words, T* out) const;
  int words() const { return call_.height * (call_.width + 8); }

 private:
  void features(int64_t position, T* out) const;
  void turn(int64_t position, uint8_t* turned) const;
  const uint8_t* turned(int n) const { return turned_ + size_t(n) * turned_stride(); }
  int turned_stride() const { return round_up(call_.height * call_.width * call_.channels + 64, 64); }

  const LenetCall& call_;
  const LenetLayer* const normalize_;
  Blob<T>& out_;
  bool serves_pixels_ = false;
  T* scale_ = nullptr;  // [width * channels]: 1 / (255 * deviation), and -mean / deviation, along a row
  T* shift_ = nullptr;
  uint8_t* turned_ = nullptr;  // [images][height][width * channels]: mirrored and shifted, still in bytes
};

}  // namespace lenet
