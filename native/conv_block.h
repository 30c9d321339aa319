// Convolution, optional batch norm, activation and 2x2 pool as one layer. Direct sums without batch norm are pooled while
// they are in the L1 cache, and after a max pool their backward pass visits only the winners.
//
// Planar: the convolution's vectors hold positions of a row (conv_row). For a first layer with few output channels; it
// reads its input from Input::planes. Otherwise vectors hold channels (conv_channels). Outputs have channels last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "activations.h"
#include "api.h"
#include "arena.h"
#include "blob.h"
#include "channel_norm.h"
#include "conv_backward_sparse.h"
#include "conv_weights.h"
#include "input.h"
#include "layer.h"
#include "planes.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"
#include "winograd_passes.h"

namespace lenet {

// The layers that form a block; `norm` may be null.
struct BlockSpec {
  const LenetLayer *conv, *norm, *activation, *pool;
};

template <class T, bool Planar>
class ConvBlock : public Layer<T> {
 public:
  // input: the network's input if Planar, which implies that this is the first layer; otherwise null.
  ConvBlock(const Context<T>& context, const BlockSpec& spec, Input<T>* input);

  Needs needs() const override;
  void allocate(Arena& arena) override;
  void pack() override;
  void unpack(int64_t steps) override;
  void forward(Schedule& schedule) override;
  void backward(Schedule& schedule) override;
  void update(Schedule& schedule) override;

 private:
  using Layer<T>::in;
  using Layer<T>::out;
  using V = Vec<T>;
  static constexpr int L = kLanes<T>;

  // Memory of one worker.
  struct Scratch {
    T* planes = nullptr;   // Planar: the input in even and odd columns
    uint32_t* words = nullptr;  // for Input::planes
    T* rows = nullptr;     // Planar: the input with channels last
    T* z = nullptr;        // two rows of the convolution's outputs, or all of one or more images; or the gradient of all rows
    T* pooled = nullptr;   // Planar: three rows of pooled values, [3][outputs][half]
    T* slopes = nullptr;   // gradient before the activation, [values of `out` without border]
    T* sums = nullptr;     // sums by channel, [2][outputs][L]
    Winner<T>* winners = nullptr;  // lists of winners, by channel or by window
    int* counts = nullptr;         // length of each list
  };

  // One vector of up to L values of a pooled row.
  struct Group {
    int z;        // offset of their windows' top left values in two rows of z; the others are right_ and z_row_ further
    int channel;  // channel of the first value; Planar: of all of them
    int pooled;   // offset of the values in the pooled row
    int winner;   // offset of their winners in the row of winners
    int count;    // number of values
  };

  template <class Each>
  void each_group(Each each) const;
  V by_channel(const T* values, int channel) const {
    return Planar ? broadcast(values[channel]) : load(values + channel);
  }
  V activated(V x) const { return relu_ ? Relu<T>().value(x) : Tanh<T>().value(x); }
  // The gradient before the activation, from the gradient after it and its output y.
  V passed(V dy, V y) const { return relu_ ? Relu<T>().slope(y, y, dy) : Tanh<T>().slope(y, y, dy); }

  int together() const { return winograd_ ? winograd_->group() : 1; }  // images of a slice that are convolved together
  void convolve_and_pool(int n, int images, const Worker& worker);
  void convolve_rows(int n, const Scratch& scratch, int first_row, int rows, T* z) const;
  void convolve_images(int n, int images, const Worker& worker, T* z) const;
  void pool_row(int n, int py, const Scratch& scratch, T* z);
  void pool_image(int n, const Scratch& scratch, T* z);
  void measure(int n);

  void image_sparse_backward(int n, int slice, const Scratch& scratch);
  void sparse_input_gradient(int n, const Scratch& scratch) const;
  void image_dense_backward(int n, int slice, const Scratch& scratch);
  void winograd_backward(const Slice& slice, const Worker& worker);
  void output_gradient(int n, int slice, const Scratch& scratch, T* dz, int dz_row) const;
  // Calls each(group, z[4], dy[4]) for the pooled row py: the four values of each window, and their gradients before
  // activation and pool.
  template <class Each>
  void each_gradient(int n, int py, const Scratch& scratch, Each each) const;
  void gather_row(const Layout& layout, const T* image, int py, T* to) const;
  void norm_sums(int n, int slice, const Scratch& scratch) const;
  void norm_rest(int n, T* dz, int dz_row) const;

  T* z_image(int n) const { return z_ + size_t(n) * z_image_size(); }
  int z_image_size() const { return height_ * z_row_; }
  uint8_t* winners(int n, int py) const { return winners_ + (size_t(n) * out->layout.height + py) * pooled_row_; }

  const BlockSpec block_;
  Input<T>* const input_;
  ConvWeights<T> weights_;
  std::unique_ptr<ChannelNorm<T>> norm_;
  std::unique_ptr<WinogradPasses<T>> winograd_;  // null where direct sums are faster
  const bool norm_trained_, maximum_, relu_;
  bool keeps_winners_ = false, keeps_z_ = false;  // whether the backward pass needs them
  bool dense_ = false;                            // whether it reads or computes the gradient of every output
  bool winograd_gradients_ = false;

  // Set by `allocate`.
  Planes planes_ = {};
  int height_ = 0, width_ = 0;  // size of the convolution's outputs
  int half_ = 0;                // Planar: distance from a channel's even columns to its odd ones
  int z_row_ = 0;               // length of a row of outputs
  int right_ = 0;               // distance from a window's left values to its right ones
  int pooled_row_ = 0;          // length of a pooled row, padded

  std::vector<Scratch> scratch_;
  T* z_ = nullptr;               // [images][height][z_row]: the convolution's outputs; activated if there is no norm
  uint8_t* winners_ = nullptr;   // [images][pooled height][pooled_row]: index of the maximum in its window
};

template <class T, bool Planar>
template <class Each>
void ConvBlock<T, Planar>::each_group(Each each) const {
  const int columns = out->layout.width, outputs = weights_.outputs;
  if constexpr (Planar) {
    for (int c = 0; c < outputs; c++)
      for (int j = 0; j < columns; j += L) {
        const int at = c * half_ + j;
        each(Group{at + c * half_, c, at, at, columns - j < L ? columns - j : L});
      }
  } else {
    for (int x = 0; x < columns; x++)
      for (int c = 0; c < outputs; c += L) {
        const int at = x * weights_.width + c;
        each(Group{at + x * weights_.width, c, x * outputs + c, at, outputs - c < L ? outputs - c : L});
      }
  }
}

}  // namespace lenet
