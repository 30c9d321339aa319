// Activations of a batch between two layers, and their gradients.
#pragma once

#include <cstddef>
#include <functional>

#include "arena.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

// Memory layout of one image: [height][width][channels], so that the kernel * channels values under one row of a kernel
// are contiguous. The image has a border of zeros if the convolution that reads it pads.
struct Layout {
  int height = 1, width = 1, channels = 0;
  int border_y = 0, border_x = 0;

  int row() const { return (width + 2 * border_x) * channels; }
  int at(int y, int x) const { return (y + border_y) * row() + (x + border_x) * channels; }
  int values() const { return height * width * channels; }
  // Distance between two images. Kernels read whole vectors, so one more vector than the image needs is allocated.
  template <class T>
  int stride() const {
    return round_up((height + 2 * border_y) * row() + kLanes<T>, kLanes<T>);
  }
  // PyTorch's index, in [channels][height][width], of the value with index i in [height][width][channels].
  int unit(int i) const {
    const int channel = i % channels, position = i / channels;
    return channel * height * width + position;
  }
};

// Maps of some images, channels last: the first value, and the distances between images, rows and columns.
template <class T>
struct Maps {
  T* data;
  size_t image;
  int row, column;

  Maps(T* data, size_t image, int row, int column) : data(data), image(image), row(row), column(column) {}
  template <class U>
  Maps(const Maps<U>& other) : Maps(other.data, other.image, other.row, other.column) {}

  T* at(int n, int y, int x) const { return data + n * image + y * row + x * column; }
  Maps from(int offset) const { return {data + offset, image, row, column}; }
};

template <class T>
struct Blob {
  Layout layout;
  // After Flatten: the same memory, read as `values()` columns; `layout.unit` gives PyTorch's index of each.
  bool flat = false;
  bool alias = false;  // shares the memory of the previous blob
  // If this is a term of a sum: that blob, whose gradient is this one's too, so that both have one layout.
  const Blob* sum = nullptr;
  bool before_norm = false;  // only a trained batch norm reads it: each channel's gradients sum to zero
  // Values, or gradients, that no other stage needs live in the memory of a slice, which stays in the cache.
  bool passing = false, passing_gradient = false;
  std::function<void(int n)> again;  // computes the passing values of an image again, for the backward pass
  int stride = 0;
  T* data = nullptr;  // [images][stride], or [workers][slice][stride] if passing
  T* gradient = nullptr;
  bool needs_gradient = false;  // whether this layer or an earlier one is trained

  int columns() const { return layout.values(); }
  T* image(int n) const { return data + size_t(passing ? n + slice_memory : n) * stride; }
  T* image_gradient(int n) const { return gradient + size_t(passing_gradient ? n + slice_memory : n) * stride; }
  // To be called in each phase of the backward pass that reads values: see Needs.
  void restore(Range images) const {
    if (again)
      for (int n = images.begin; n < images.end; n++) again(n);
  }
  // From image n, row y and column x on; negative in the border.
  Maps<T> maps(int n, int y = 0, int x = 0) const { return maps_of(image(n), y, x); }
  // From the top left corner of the first window of a row of a convolution's outputs: the border is its padding.
  Maps<const T> windows(int n, int row = 0) const { return maps(n, row - layout.border_y, -layout.border_x); }
  Maps<T> gradient_maps(int n, int y = 0, int x = 0) const { return maps_of(image_gradient(n), y, x); }

  void allocate(Arena& arena, int images, int workers) {
    const int slices = workers * slice_size(images);
    stride = layout.stride<T>();
    data = arena.array<T>(size_t(passing ? slices : images) * stride);
    if (needs_gradient && !sum) gradient = arena.array<T>(size_t(passing_gradient ? slices : images) * stride);
  }

 private:
  Maps<T> maps_of(T* first, int y, int x) const {
    return {first + layout.at(y, x), size_t(stride), layout.row(), layout.channels};
  }
};

}  // namespace lenet
