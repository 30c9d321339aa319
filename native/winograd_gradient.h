// The gradient of a convolution's weights by Winograd's algorithm: dw is the correlation of the inputs with the outputs'
// gradient, whose tiles of 4x4 take the part of the kernel in F(KxK, 4x4). Products are summed over all tiles of a slice
// before they are transformed back.
#pragma once

#include <cstddef>

#include "arena.h"
#include "blob.h"
#include "conv_weights.h"
#include "team.h"
#include "winograd_tiles.h"

namespace lenet {

template <class T>
class WinogradGradient {
 public:
  explicit WinogradGradient(const ConvWeights<T>& weights) : w_(weights), input_width_(padded<T>(weights.inputs)) {}

  // height, width: of the outputs
  void allocate(Arena& arena, int threads, int height, int width);

  // x: the top left corner of the first window; dz: the gradient of the outputs; first: whether a new sum begins.
  void add(const Maps<const T>& x, const Maps<const T>& dz, int images, bool first, const Worker& worker) const;
  // Writes the sum to dw, [outputs][kernel][run_width].
  void finish(T* dw, const Worker& worker) const;

 private:
  int points() const { return (w_.kernel + kWinogradTile - 1) * (w_.kernel + kWinogradTile - 1); }
  int sums_step() const { return point_step<T>(w_.outputs * input_width_); }
  T* sums(const Worker& worker) const { return scratch_ + worker.index * scratch_size_; }

  template <int K>
  void add_tiles(Range tiles, const Maps<const T>& x, const Maps<const T>& dz, bool first, T* sums) const;
  template <int K>
  void transform_back(const T* sums, T* dw) const;

  const ConvWeights<T>& w_;
  const int input_width_;  // inputs, padded to vectors
  WinogradTiles tiles_;
  int block_ = 0;         // most tiles that are transformed at once
  T* scratch_ = nullptr;  // [threads][scratch_size_]: sums [point][outputs][inputs], then transformed inputs and gradients
  size_t scratch_size_ = 0;
};

}  // namespace lenet
