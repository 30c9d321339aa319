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
    spread({0, kernel});
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

  // A phase that sums the slices' gradients in their order and updates the weights; by rows of the kernel, since those
  // are apart in `by_output` too: threads that write to the same line of memory wait for each other.
  void update(Schedule& schedule, const Optimizer<T>& optimizer) {
    schedule.columns(Split::singly(kernel), [this, &optimizer](const Step& step, Range rows, const Worker&) {
      const int count = (rows.end - rows.begin) * run_width, slices = slice_count(step.images);
      const auto rates = optimizer.rates(weight, step.learning_rate);
      for (int c = 0; c < outputs; c++) {
        const int at = (c * kernel + rows.begin) * run_width;
        T* const sum = sum_slices(at, count, slices);
        // The padding collected what lies behind a run; it must stay zero for the input's gradient.
        for (int row = 0; row < count; row += run_width)
          for (int t = run; t < run_width; t++) sum[row + t] = 0;
        optimizer.update(weight, rates, at, count, sum);
      }
      spread(rows);
      if (rows.begin == 0 && spec_.bias.value)
        optimizer.update(bias, optimizer.rates(bias, step.learning_rate), 0, outputs, sum_slices(size(), outputs, slices));
    });
  }

  // In `shifted` a channel's kernel lies among zeros, a row above, a row below and a column on each side. Read from
  // here as kernel + 1 rows of `window` values, it is what one output of the pool's window, at (down, right) of 0 or 1,
  // adds to the inputs under the whole window: all four outputs then add up in the same registers.
  const T* at_winner(int channel, int down, int right) const {
    return shifted + (size_t(channel) * (kernel + 2) + 1 - down) * shifted_row + (1 - right) * inputs;
  }

 private:
  // Adds the slices' gradients up into the first's: `count` values from `at`, where the weights' are [0, size()).
  T* sum_slices(int at, int count, int slices) const {
    T* __restrict const sum = weight_gradient(0) + at;
    for (int s = 1; s < slices; s++) {
      const T* __restrict const part = weight_gradient(s) + at;
      for (int i = 0; i < count; i++) sum[i] += part[i];
    }
    return sum;
  }

  // Writes the weights of these rows of the kernel to the other layouts.
  void spread(Range rows) {
    for (int ky = rows.begin; ky < rows.end; ky++) {
      const T* const from = weight.value + ky * run_width;
      T* const to = by_output + ky * run * width;
      for (int t = 0; t < run; t++)
        for (int c = 0; c < outputs; c++) to[t * width + c] = from[c * kernel * run_width + t];
      if (!shifted) continue;
      for (int c = 0; c < outputs; c++)
        std::memcpy(shifted + (size_t(c) * (kernel + 2) + 1 + ky) * shifted_row + inputs,
                    from + c * kernel * run_width, size_t(run) * sizeof(T));
    }
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
