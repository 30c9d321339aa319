// The first layer: picks a batch's images, mirrors and shifts them as the plan says, and normalises their pixels.
#pragma once

#include "layer.h"

namespace lenet {

template <class T>
class Input {
 public:
  // `normalize` is null for a head alone, whose input is features.
  Input(const LenetCall& call, const LenetLayer* normalize, Blob<T>& out);

  void allocate(Arena& arena, int members);
  void pack();
  void forward(Schedule& schedule);

 private:
  void image(int64_t position, T* out, uint8_t* turned) const;
  void turn(const uint8_t* row, bool flip, int dx, uint8_t* turned) const;

  const LenetCall& call_;
  const LenetLayer* const normalize_;
  Blob<T>& out_;
  T* scale_ = nullptr;  // [width * channels]: 1 / (255 * deviation), and -mean / deviation, along a row
  T* shift_ = nullptr;
  uint8_t* turned_ = nullptr;  // a row of pixels for each member
};

}  // namespace lenet
