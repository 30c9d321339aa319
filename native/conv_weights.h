// A convolution's weights, in the layouts that its passes read, with their gradients and update.
#pragma once

#include "layer.h"

namespace lenet {

template <class T>
class ConvWeights {
 public:
  ConvWeights(const LenetLayer& spec, bool learns)
      : kernel(spec.kernel),
        inputs(spec.inputs),
        outputs(spec.outputs),
        run(spec.kernel * spec.inputs),
        run_width(padded<T>(run)),
        width(padded<T>(spec.outputs)),
        window(round_up(run + inputs, kShortLanes<T>)),
        shifted_row(round_up(window + inputs, kShortLanes<T>)),
        learns(learns),
        spec_(spec) {}

  const int kernel, inputs, outputs;
  const int run, run_width;  // values under one row of the kernel, contiguous in an image; padded
  const int width;           // output channels, padded
  const int window;          // values under one row of all kernels of a 2x2 pool's window, padded
  const int shifted_row;     // of `shifted`
  const bool learns;

  Parameter<T> weight;      // [outputs][kernel][run_width]: what is updated
  Parameter<T> bias;        // [width]
  T* by_output = nullptr;   // [kernel][run][width]: what the forward pass reads
  T* shifted = nullptr;     // [outputs][kernel + 2][shifted_row]: see `at_winner`

  int size() const { return outputs * kernel * run_width; }
  T* weight_gradient(int slice) const { return gradients_ + size_t(slice) * (size() + width); }
  T* bias_gradient(int slice) const { return weight_gradient(slice) + size(); }

  // `with_shifted`: the input's gradient will be asked for by pool windows.
  void allocate(Arena& arena, const Context<T>& context, bool with_shifted) {
    weight.allocate(arena, size(), context.optimizer, learns);
    bias.allocate(arena, width, context.optimizer, learns);
    by_output = arena.array<T>(size_t(kernel) * run * width);
    if (with_shifted) shifted = arena.array<T>(size_t(outputs) * (kernel + 2) * shifted_row);
    if (learns) gradients_ = arena.array<T>(size_t(kMostSlices) * (size() + width));
  }

  void pack() {
    weight.load(spec_.weight, weight_map());
    bias.load(spec_.bias, in_order(outputs));
    for (int c = 0; c < outputs; c++) spread(c);
  }

  void unpack() const {
    if (!learns) return;
    weight.save(spec_.weight, weight_map());
    bias.save(spec_.bias, in_order(outputs));
  }

  void count_step() {
    if (!learns) return;
    weight.steps++;
    bias.steps++;
  }

  void clear(int slice) { std::memset(weight_gradient(slice), 0, size_t(size() + width) * sizeof(T)); }

  // A phase that sums the slices' gradients in their order and updates the weights.
  void update(Schedule& schedule, const Optimizer<T>& optimizer) {
    schedule.columns(outputs, 1, [this, &optimizer](const Step& step, Range channels, const Worker&) {
      const int count = kernel * run_width;
      const auto rates = optimizer.rates(weight, step.learning_rate);
      const auto bias_rates = optimizer.rates(bias, step.learning_rate);
      for (int c = channels.begin; c < channels.end; c++) {
        T* __restrict const sum = weight_gradient(0) + c * count;
        for (int s = 1; s < slice_count(step.images); s++) {
          const T* __restrict const part = weight_gradient(s) + c * count;
          for (int i = 0; i < count; i++) sum[i] += part[i];
          bias_gradient(0)[c] += bias_gradient(s)[c];
        }
        // The padding collected what lies behind a run; it must stay zero for the input's gradient.
        for (int ky = 0; ky < kernel; ky++)
          for (int t = run; t < run_width; t++) sum[ky * run_width + t] = 0;
        optimizer.update(weight, rates, size_t(c) * count, count, sum);
        if (spec_.bias.value) optimizer.update(bias, bias_rates, c, 1, bias_gradient(0) + c);
        spread(c);
      }
    });
  }

  // In `shifted` a channel's kernel lies among zeros, a row above, a row below and a column on each side. Read from
  // here as kernel + 1 rows of `window` values, it is what one output of the pool's window, at (down, right) of 0 or 1,
  // adds to the inputs under the whole window: all four outputs then add up in the same registers.
  const T* at_winner(int channel, int down, int right) const {
    return shifted + (size_t(channel) * (kernel + 2) + 1 - down) * shifted_row + (1 - right) * inputs;
  }

 private:
  // Writes one output channel's weights to the other layouts.
  void spread(int channel) {
    const T* const from = weight.value + channel * kernel * run_width;
    for (int ky = 0; ky < kernel; ky++)
      for (int t = 0; t < run; t++) by_output[(ky * run + t) * width + channel] = from[ky * run_width + t];
    if (!shifted) return;
    for (int ky = 0; ky < kernel; ky++)
      std::memcpy(shifted + (size_t(channel) * (kernel + 2) + 1 + ky) * shifted_row + inputs, from + ky * run_width,
                  size_t(run) * sizeof(T));
  }

  // Theirs is [outputs][inputs][kernel][kernel].
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
  T* gradients_ = nullptr;  // for each slice those of the weights, then of the biases
};

}  // namespace lenet
