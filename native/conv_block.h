// Convolution [batch norm] activation 2x2 pool in one: what the convolution gives is used while it is in L1, and the
// backward pass goes no further than the pool lets through.
//
// Planar: the convolution's vectors run along a row (conv_row), for a first layer of few output channels, which takes
// its input as pixels. Otherwise they run over channels (conv_channels). What comes out has channels last either way.
#pragma once

#include "batch_norm.h"
#include "conv_sparse.h"
#include "input.h"

namespace lenet {

// The layers that a block is made of; `norm` may be null.
struct BlockSpec {
  const LenetLayer *conv, *norm, *activation, *pool;
};

template <class T, bool Planar>
class ConvBlock : public Layer<T> {
 public:
  // `input` is the network's where this is its first layer and Planar, otherwise null.
  ConvBlock(const Context<T>& context, const BlockSpec& spec, Input<T>* input);

  void allocate(Arena& arena) override;
  void pack() override;
  void unpack() override;
  void forward(Schedule& schedule) override;
  void backward(Schedule& schedule) override;
  void update(Schedule& schedule) override;
  void count_step() override;

 private:
  using Layer<T>::in;
  using Layer<T>::out;
  using V = Vec<T>;
  static constexpr int L = kLanes<T>;

  // A worker's own memory.
  struct Scratch {
    T* planes = nullptr;   // the input in even and odd columns (Planar)
    uint32_t* words = nullptr;
    T* rows = nullptr;     // and with channels last
    T* z = nullptr;        // the convolution's outputs: two rows; all, where the backward pass needs their gradient
    T* pooled = nullptr;   // Planar: rows of pooled values by channel, [3][outputs][half]
    T* slopes = nullptr;   // the gradient before the pool and the activation, in the layout of `out`
    T* sums = nullptr;     // [2][outputs][L]
    Winner<T>* winners = nullptr;  // of one channel, or of one window
  };

  // Up to L values of one pooled row, all in one vector: where their four inputs are, and whose they are.
  struct Group {
    int z;        // offset of the top left values in the two rows; the others are at right_ and z_row_ from it
    int channel;  // the first (of L, or of all where Planar)
    int pooled;   // offset of the values within the pooled row
    int winner;   // and of their winners
    int count;    // values in use
  };

  template <class Each>
  void each_group(Each each) const;
  V by_channel(const T* values, int channel) const {
    return Planar ? broadcast(values[channel]) : load(values + channel);
  }
  V activated(V x) const;
  // What of a gradient passes the activation that gave y.
  V passed(V dy, V y) const { return relu_ ? (y > T(0) ? dy : V{}) : dy * (T(1) - y * y); }

  void image_forward(int n, const Scratch& scratch, bool keep);
  void convolve(int n, const Scratch& scratch, int first_row, int rows, T* z) const;
  void pool_row(int n, int py, const Scratch& scratch, T* z);
  void measure(int n);
  void use_measures(const Step& step, Range channels);

  void image_sparse_backward(int n, int slice, const Scratch& scratch);
  void sparse_input_gradient(int n, const Scratch& scratch) const;
  void image_dense_backward(int n, int slice, const Scratch& scratch);
  // Calls each(group, z of the window's four, gradient of each of the four before activation and pool).
  template <class Each>
  void each_gradient(int n, int py, const Scratch& scratch, Each each) const;
  void gather_row(const Layout& layout, const T* image, int py, T* to) const;
  void norm_sums(int n, int slice, const Scratch& scratch) const;
  void norm_update(const Step& step, Range channels);
  void norm_rest(int n, T* dz) const;

  T* z_image(int n) const { return z_ + size_t(n) * z_image_size(); }
  int z_image_size() const { return height_ * z_row_; }
  uint8_t* winners(int n, int py) const { return winners_ + (size_t(n) * out->layout.height + py) * pooled_row_; }

  const BlockSpec block_;
  Input<T>* const input_;
  ConvWeights<T> weights_;
  std::unique_ptr<ChannelNorm<T>> norm_;
  const bool norm_learns_, maximum_, relu_;
  bool keeps_winners_ = false, keeps_z_ = false;  // for the backward pass

  // Set by `allocate`.
  Planes planes_ = {};
  int height_ = 0, width_ = 0;  // of the convolution's outputs
  int half_ = 0;                // Planar: values from a channel's even columns to its odd ones
  int z_row_ = 0;               // values of a row of outputs
  int right_ = 0;               // from a window's left values to its right ones
  int pooled_row_ = 0;          // values of a pooled row, padded

  std::vector<Scratch> scratch_;
  T* z_ = nullptr;               // [images][height][z_row]; activated where there is no norm
  uint8_t* winners_ = nullptr;   // [images][pooled height][pooled_row]: which of the window's four
  T *means_ = nullptr, *squares_ = nullptr;  // [images][width]: each image's mean, and squared deviations from it
  T *dweights_ = nullptr, *dbiases_ = nullptr;  // [slices][width]: of the norm
  T *by_z_ = nullptr, *constant_ = nullptr;  // [width]: dz = scale * dy + by_z * z + constant
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
