// Augmentation of one image in uint8, exactly as lenet/data/augment.py computes it: flip and shift, or one affine map
// instead; then colour; then a grey box. Integers only, so that all instruction set levels give the same pixels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "api.h"
#include "vector.h"

namespace lenet {

class Augmenter {
 public:
  explicit Augmenter(const LenetCall& call) : call_(call) {}

  // Bytes of an augmented image; those after its pixels are scratch.
  int bytes() const { return round_up(call_.height * call_.width * call_.channels + 64, 64); }
  // Values of a worker's scratch memory.
  size_t texels() const { return call_.warps ? size_t(call_.height + 1) * stride() + call_.width + 64 : 0; }

  // Writes the image at this position of the plan, [height][width * channels].
  void image(int64_t position, uint32_t* texels, uint8_t* out) const;

 private:
  int stride() const { return call_.width + 1; }
  void shift(int64_t position, const uint8_t* pixels, uint8_t* out) const;
  void warp(const int32_t* map, const uint8_t* pixels, uint32_t* texels, uint8_t* out) const;
  void colour(const int32_t* mix, uint8_t* out) const;
  void cut(const int16_t* box, uint8_t* out) const;

  const LenetCall& call_;
};

}  // namespace lenet
