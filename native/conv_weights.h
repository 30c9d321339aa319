// A convolution's weights in the layouts that its passes read, their gradients and their update.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "api.h"
#include "arena.h"
#include "layer.h"
#include "optimizer.h"
#include "orthogonal.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

constexpr int kTileVectors = 2;  // most vectors of channels in a tile of the forward pass

template <class T>
class ConvWeights {
 public:
  ConvWeights(const LenetLayer& spec, bool trained)
      : kernel(spec.kernel),
        stride_y(spec.stride_y),
        stride_x(spec.stride_x),
        inputs(spec.inputs),
        outputs(spec.outputs),
        run(spec.kernel * spec.inputs),
        run_width(padded<T>(run)),
        width(padded<T>(spec.outputs)),
        window(round_up(run + inputs, kShortLanes<T>)),
        shifted_row(round_up(window + inputs, kShortLanes<T>)),
        trained(trained),
        spec_(spec) {}

  const int kernel, stride_y, stride_x, inputs, outputs;
  const int run, run_width;  // values under one row of the kernel, contiguous in an image; and padded to vectors
  const int width;           // output channels, padded to vectors
  const int window;          // values under one row of the kernels of a 2x2 pool window, padded to short vectors
  const int shifted_row;     // row length of `shifted`
  const bool trained;

  Parameter<T> weight;      // [outputs][kernel][run_width]: the layout in which weights are updated
  Parameter<T> bias;        // [width]
  T* by_output = nullptr;   // [kernel][run][width]: for the forward pass, or in tiles, see `tile_start`
  T* shifted = nullptr;     // [outputs][kernel + 2][shifted_row]: for the input's gradient, see `at_winner`

  int size() const { return outputs * kernel * run_width; }
  T* weight_gradient(int slice) const { return gradients_ + size_t(slice) * (size() + width); }
  T* bias_gradient(int slice) const { return weight_gradient(slice) + size(); }

  // tiled: whether conv_channels will be called, not conv_row. with_shifted: whether winners_input_gradient will be.
  void allocate(Arena& arena, const Context<T>& context, bool tiled, bool with_shifted) {
    tile_ = tiled ? kTileVectors * kLanes<T> : width;
    weight.allocate(arena, size(), context.optimizer, trained);
    bias.allocate(arena, width, context.optimizer, trained);
    by_output = arena.array<T>(size_t(kernel) * run * width);
    if (with_shifted) shifted = arena.array<T>(size_t(outputs) * (kernel + 2) * shifted_row);
    if (!trained) return;
    gradients_ = arena.array<T>(size_t(kMostSlices) * (size() + width));
    if (!context.orthogonal(spec_)) return;
    if (!orthogonal_) orthogonal_.emplace(outputs, kernel * run_width, kernel * run);
    orthogonal_->allocate(arena, weight_gradient(0));
  }

  // Start in `by_output` of the tile of channels that starts at `channel`: [kernel][run][channels of the tile], contiguous.
  // In rows of all channels, the weights of some of many channels would share few of the cache's sets.
  size_t tile_start(int channel) const { return size_t(channel) * kernel * run; }

  void pack() {
    weight.load(spec_.weight, weight_map());
    bias.load(spec_.bias, in_order(outputs));
    spread({0, kernel});
  }

  void unpack(int64_t steps) const {
    if (!trained) return;
    weight.save(spec_.weight, weight_map(), steps);
    bias.save(spec_.bias, in_order(outputs), steps);
  }

  void clear_bias(int slice) { std::memset(bias_gradient(slice), 0, size_t(width) * sizeof(T)); }
  void clear(int slice) { std::memset(weight_gradient(slice), 0, size_t(size() + width) * sizeof(T)); }

  // Adds phases that sum the gradients of the slices in order and update the weights. They are split by rows of the
  // kernel, which are separate in `by_output` too, so that no two threads write to the same cache line.
  void update(Schedule& schedule, const Optimizer<T>& optimizer) {
    schedule.columns(Split::singly(kernel), [this, &optimizer](const Step& step, Range rows, const Worker&) {
      const int count = rows.size() * run_width, slices = slice_count(step.images);
      const auto rates = optimizer.rates(weight, step);
      for (int c = 0; c < outputs; c++) {
        const int at = (c * kernel + rows.begin) * run_width;
        T* const sum = sum_slices(at, count, slices);
        // The padding's sums are meaningless; the padding must stay zero for the input's gradient.
        for (int row = 0; row < count; row += run_width)
          for (int t = run; t < run_width; t++) sum[row + t] = 0;
        if (orthogonal_)
          optimizer.direct(weight, at, count, sum);
        else
          optimizer.update(weight, rates, at, count, sum);
      }
      if (!orthogonal_) spread(rows);
      if (rows.begin == 0 && spec_.bias.value)
        optimizer.update(bias, optimizer.rates(bias, step), 0, outputs, sum_slices(size(), outputs, slices));
    });
    if (!orthogonal_) return;
    orthogonal_->add_phases(schedule);
    schedule.columns(Split::singly(kernel), [this](const Step& step, Range rows, const Worker&) {
      const T rate = T(step.learning_rate);
      for (int c = 0; c < outputs; c++) {
        const T* __restrict const direction = orthogonal_->direction();
        T* __restrict const value = weight.value;
        const int begin = (c * kernel + rows.begin) * run_width, end = (c * kernel + rows.end) * run_width;
        for (int i = begin; i < end; i++) value[i] -= rate * direction[i];
      }
      spread(rows);
    });
  }

  // In `shifted` each channel's kernel is surrounded by zeros: a row above and below, a column on each side. From the
  // returned address, kernel + 1 rows of `window` values are the weights of the output at (down, right), each 0 or 1,
  // of a pool window for all inputs under that window, so that the four outputs can be summed in the same registers.
  const T* at_winner(int channel, int down, int right) const {
    return shifted + (size_t(channel) * (kernel + 2) + 1 - down) * shifted_row + (1 - right) * inputs;
  }

 private:
  // Sums `count` values from `at` over the slices, into the first slice's; the weight's gradient is at [0, size()), the
  // bias's follows.
  T* sum_slices(int at, int count, int slices) const {
    T* __restrict const sum = weight_gradient(0) + at;
    for (int s = 1; s < slices; s++) {
      const T* __restrict const part = weight_gradient(s) + at;
      for (int i = 0; i < count; i++) sum[i] += part[i];
    }
    return sum;
  }

  // Copies the weights of these rows of the kernel to the other layouts.
  void spread(Range rows) {
    for (int ky = rows.begin; ky < rows.end; ky++) {
      const T* const from = weight.value + ky * run_width;
      for (int first = 0; first < outputs; first += tile_) {
        const int lanes = std::min(tile_, width - first), channels = std::min(lanes, outputs - first);
        const T* const weights = from + size_t(first) * kernel * run_width;
        T* const to = by_output + tile_start(first) + size_t(ky) * run * lanes;
        for (int t = 0; t < run; t++)
          for (int c = 0; c < channels; c++) to[t * lanes + c] = weights[c * kernel * run_width + t];
      }
      if (!shifted) continue;
      for (int c = 0; c < outputs; c++)
        std::memcpy(shifted + (size_t(c) * (kernel + 2) + 1 + ky) * shifted_row + inputs,
                    from + c * kernel * run_width, size_t(run) * sizeof(T));
    }
  }

  // From PyTorch's [outputs][inputs][kernel][kernel] to [outputs][kernel][run_width].
  auto weight_map() const {
    return [this](auto each) {
      for (int o = 0; o < outputs; o++)
        for (int i = 0; i < inputs; i++)
          for (int ky = 0; ky < kernel; ky++)
            for (int kx = 0; kx < kernel; kx++)
              each(((o * inputs + i) * kernel + ky) * kernel + kx, (o * kernel + ky) * run_width + kx * inputs + i);
    };
  }

  const LenetLayer& spec_;
  int tile_ = 0;            // channels of a tile of `by_output`
  std::optional<Orthogonal<T>> orthogonal_;  // if the optimizer is Muon
  T* gradients_ = nullptr;  // [slices][size() + width]: the weight's, then the bias's
};

}  // namespace lenet
