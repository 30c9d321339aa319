// Winograd's convolution F(4x4, KxK) (Lavin and Gray 2016, arXiv:1509.09308): a tile of 4x4 outputs takes (K + 3)^2
// multiply-adds per pair of channels, 64 instead of 400 for K = 5 and 36 instead of 144 for K = 3. Tiles of inputs and
// kernels are transformed, multiplied element by element and summed over the channels, and transformed back.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arena.h"
#include "conv_weights.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

template <class T>
class Winograd {
 public:
  // Whether it is faster than conv_channels. Fewer channels leave lanes of the transforms unused, and few products to
  // save.
  static bool pays(const ConvWeights<T>& w) {
    const bool many = w.inputs >= std::max(kLeastChannels, kLanes<T>) && w.outputs >= kLeastChannels;
    return many && (w.kernel == 3 || w.kernel == 5) && w.stride_y == 1 && w.stride_x == 1;
  }

  explicit Winograd(const ConvWeights<T>& weights) : w_(weights) {}

  // height, width: of the outputs
  void allocate(Arena& arena, int threads, int height, int width);

  // Transforms the kernels, from w.by_output.
  void pack() { pack({0, channel_tiles()}); }

  // Adds phases that transform the kernels after their update.
  void update(Schedule& schedule);

  // z[height][width][w.width], rows z_row apart, as conv_channels; `x` is the top left corner of the first window.
  void convolve(const T* x, int x_row, T* z, int z_row, const Worker& worker) const;

 private:
  static constexpr int kLeastChannels = 16;

  int channel_tiles() const { return (w_.width + kTileVectors * kLanes<T> - 1) / (kTileVectors * kLanes<T>); }
  void pack(Range channel_tiles);

  template <int K>
  void pack_kernels(Range channel_tiles);
  template <int K>
  void convolve_image(const T* x, int x_row, T* z, int z_row, T* scratch) const;
  template <int K>
  void transform_tile(int tile, const T* x, int x_row, T* to) const;
  template <int P, int Q>
  void multiply(const T* x, const T* kernels, T* products) const;
  template <int K>
  void transform_back(int tile, const T* products, int step, int channel, T* z, int z_row) const;

  const ConvWeights<T>& w_;
  int height_ = 0, width_ = 0, tiles_x_ = 0, tiles_ = 0;
  T* kernels_ = nullptr;   // [channel tile][point][input][channels of the tile]
  T* scratch_ = nullptr;   // [threads][scratch_size_]: transformed inputs, then products of a tile of channels
  size_t scratch_size_ = 0;
};

}  // namespace lenet
