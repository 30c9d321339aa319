// Winograd's convolution F(4x4, KxK) (Lavin and Gray 2016, arXiv:1509.09308): a tile of 4x4 outputs takes (K + 3)^2
// multiply-adds per pair of channels, 64 instead of 400 for K = 5 and 36 instead of 144 for K = 3. Tiles of inputs and
// kernels are transformed, multiplied element by element and summed over the channels, and transformed back.
#pragma once

#include <cstddef>

#include "arena.h"
#include "blob.h"
#include "conv_weights.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"
#include "winograd_tiles.h"

namespace lenet {

// Whether Winograd's algorithm is faster than direct sums. Fewer channels leave lanes of the transforms unused, and few
// products to save.
template <class T>
bool winograd_pays(const ConvWeights<T>& w);

// Whether its gradients are faster than sums over the winners of a 2x2 max pool (conv_backward_sparse.h). height, width: of
// the convolution's outputs.
template <class T>
bool winograd_beats_winners(const ConvWeights<T>& w, int height, int width);

// A forward pass, or its mirror image: the gradient of the input is a convolution of the outputs' gradient with the
// kernels turned around.
template <class T>
class Winograd {
 public:
  enum Pass { kForward, kInputGradient };

  Winograd(const ConvWeights<T>& weights, Pass pass)
      : w_(weights),
        pass_(pass),
        inputs_(pass == kForward ? weights.inputs : weights.outputs),
        outputs_(pass == kForward ? weights.outputs : weights.inputs),
        width_(padded<T>(outputs_)) {}

  // height, width: of the pass's outputs
  void allocate(Arena& arena, int threads, int height, int width);

  // Transforms the kernels.
  void pack() { pack({0, channel_tiles()}); }

  // Adds phases that transform the kernels after their update.
  void update(Schedule& schedule);

  // x: the top left corner of the first window; z: `channels` channels of the outputs are written, plus bias if there is one.
  void convolve(const Maps<const T>& x, int images, const Maps<T>& z, int channels, const T* bias,
                const Worker& worker) const;

 private:
  int channel_tiles() const { return (width_ + kTileVectors * kLanes<T> - 1) / (kTileVectors * kLanes<T>); }
  void pack(Range channel_tiles);

  template <int K>
  void pack_kernels(Range channel_tiles);
  template <int K>
  Vec<T> kernel_at(int k, int input, int output) const;
  template <int K>
  void convolve_tiles(Range tiles, const Maps<const T>& x, const Maps<T>& z, int channels, const T* bias, T* scratch) const;
  template <int K>
  void transform_back(const WinogradTiles::Place& tile, const T* products, int step, int channel, const Maps<T>& z,
                      int channels, const T* bias) const;
  template <int P, int Q>
  void multiply(const T* x, const T* kernels, T* products) const;

  const ConvWeights<T>& w_;
  const Pass pass_;
  const int inputs_, outputs_, width_;  // channels of this pass; width: outputs padded to vectors
  WinogradTiles tiles_;
  int block_ = 0;          // most tiles that are transformed at once
  T* kernels_ = nullptr;   // [channel tile][point][input][channels of the tile]
  T* scratch_ = nullptr;   // [threads][scratch_size_]: transformed inputs, then products of a tile of channels
  size_t scratch_size_ = 0;
};

}  // namespace lenet
