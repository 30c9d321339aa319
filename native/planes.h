// The layout of an image for a convolution along a row: each row of each channel as its even columns, then its odd
// ones.
#pragma once

#include "vector.h"

namespace lenet {

// [channels][height][even, odd][half]
struct Planes {
  int height, width;  // of the input with its border
  int half;           // values from a row's even columns to its odd ones; a vector may be read past the end of either

  template <class T>
  static Planes of(int height, int width) {
    return {height, width, padded<T>((width + 1) / 2) + kLanes<T>};
  }
  int row() const { return 2 * half; }
  int plane() const { return height * row(); }
};

}  // namespace lenet
