// What flows between layers: a batch of activations, and their gradients.
#pragma once

#include "arena.h"
#include "vector.h"

namespace lenet {

// How one image lies in memory: channels last, rows one after the other, so that the k * channels values under a row of
// a kernel are contiguous. A border of zeros stands for the padding of the convolution that reads it.
struct Layout {
  int height = 1, width = 1, channels = 0;
  int border_y = 0, border_x = 0;

  int row() const { return (width + 2 * border_x) * channels; }
  int at(int y, int x) const { return (y + border_y) * row() + (x + border_x) * channels; }
  int values() const { return height * width * channels; }
  // From one image to the next. Kernels read whole vectors, so there is one vector more than is used.
  template <class T>
  int stride() const {
    return round_up((height + 2 * border_y) * row() + kLanes<T>, kLanes<T>);
  }
  // PyTorch's number (channel, row, column) of the value that comes i-th without the border.
  int unit(int i) const {
    const int channel = i % channels, position = i / channels;
    return channel * height * width + position;
  }
};

template <class T>
struct Blob {
  Layout layout;
  // Flatten changes no memory, only how it is read: as `values()` columns whose units are numbered by `layout`.
  bool flat = false;
  bool alias = false;  // of the blob before it
  int stride = 0;
  T* data = nullptr;  // [images][stride]
  T* gradient = nullptr;
  bool needs_gradient = false;  // some layer below learns

  int columns() const { return layout.values(); }
  T* image(int n) const { return data + size_t(n) * stride; }
  T* image_gradient(int n) const { return gradient + size_t(n) * stride; }

  void allocate(Arena& arena, int images) {
    stride = layout.stride<T>();
    data = arena.array<T>(size_t(images) * stride);
    if (needs_gradient) gradient = arena.array<T>(size_t(images) * stride);
  }
};

}  // namespace lenet
