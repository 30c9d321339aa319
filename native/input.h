// The network's input: gathers the images of a batch, augments them as the plan says, and normalises pixels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "api.h"
#include "arena.h"
#include "augment.h"
#include "blob.h"
#include "layer.h"
#include "planes.h"
#include "schedule.h"
#include "vector.h"

namespace lenet {

template <class T>
class Input {
 public:
  // normalize: the first layer, or null where the input is features.
  Input(const LenetCall& call, const LenetLayer* normalize, Blob<T>& out);

  // The first layer will call `planes` and `rows` itself; `out` is not written.
  void serve_pixels() { serves_pixels_ = true; }

  void allocate(Arena& arena, const Context<T>& context);
  void pack();
  void forward(Schedule& schedule);

  // Writes image n of the batch, normalised, in the layout of `out`.
  void rows(int n, T* out) const;
  // Writes it as [channels][height][even, odd][half]; `words` is scratch memory of words() values.
  void planes(int n, const Planes& shape, uint32_t* words, T* out) const;
  int words() const { return call_.height * (call_.width + 8); }

 private:
  void features(int64_t position, T* out) const;
  const uint8_t* augmented(int n) const { return augmented_ + size_t(n) * augmenter_.bytes(); }

  const LenetCall& call_;
  const Augmenter augmenter_;
  const LenetLayer* const normalize_;
  Blob<T>& out_;
  bool serves_pixels_ = false;
  T* scale_ = nullptr;  // [width * channels]: 1 / (255 * std), and -mean / std, for every value of a row
  T* shift_ = nullptr;
  uint8_t* augmented_ = nullptr;  // [images][height][width * channels]
  uint32_t* texels_ = nullptr;    // scratch memory of the augmenter, for each worker
};

}  // namespace lenet
