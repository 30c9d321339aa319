// A convolution's weights in the layouts its passes read, and the passes over a row of outputs.
#pragma once

#include "api.h"
#include "arena.h"
#include "optimizer.h"
#include "schedule.h"

namespace lenet {

template <class T>
class ConvWeights {
 public:
  explicit ConvWeights(const LenetLayer& spec)
      : kernel(spec.kernel),
        inputs(spec.inputs),
        outputs(spec.outputs),
        run(spec.kernel * spec.inputs),
        run_width(padded<T>(run)),
        width(padded<T>(spec.outputs)) {}

  const int kernel, inputs, outputs;
  const int run, run_width;  // values under one row of the kernel, which are contiguous in an image; padded
  const int width;           // output channels, padded

  Parameter<T> weight;  // [outputs][kernel][run_width]: what is updated, and what the input's gradient reads
  Parameter<T> bias;    // [width]
  T* by_output = nullptr;  // [kernel][run][width]: what the forward pass reads

  int size() const { return outputs * kernel * run_width; }
  T* weight_gradient(int slice) const { return gradients_ + size_t(slice) * (size() + width); }
  T* bias_gradient(int slice) const { return weight_gradient(slice) + size(); }

  void allocate(Arena& arena, int slices) {
    by_output = arena.array<T>(size_t(kernel) * run * width);
    gradients_ = arena.array<T>(size_t(slices) * (size() + width));
  }

  void clear(int slice) { std::memset(weight_gradient(slice), 0, size_t(size() + width) * sizeof(T)); }

  // Writes one output channel's weights to `by_output`.
  void spread(int channel) {
    const T* const from = weight.value + channel * kernel * run_width;
    for (int ky = 0; ky < kernel; ky++)
      for (int t = 0; t < run; t++) by_output[(ky * run + t) * width + channel] = from[ky * run_width + t];
  }

  // Sums the slices' gradients in their order and updates some output channels.
  void update(const Optimizer<T>& optimizer, const Step& step, Range channels) {
    const int count = kernel * run_width;
    const auto rates = optimizer.rates(weight, step.learning_rate), bias_rates = optimizer.rates(bias, step.learning_rate);
    for (int c = channels.begin; c < channels.end; c++) {
      T* const sum = weight_gradient(0) + c * count;
      for (int s = 1; s < slice_count(step.images); s++) {
        const T* const part = weight_gradient(s) + c * count;
        for (int i = 0; i < count; i++) sum[i] += part[i];
        bias_gradient(0)[c] += bias_gradient(s)[c];
      }
      // The padding collected what lies behind a run; it must stay zero for the input's gradient.
      for (int ky = 0; ky < kernel; ky++)
        for (int t = run; t < run_width; t++) sum[ky * run_width + t] = 0;
      optimizer.update(weight, rates, size_t(c) * count, count, sum);
      if (bias.value) optimizer.update(bias, bias_rates, c, 1, bias_gradient(0) + c);
      spread(c);
    }
  }

  // Calls move(theirs, ours) for every weight; theirs are in PyTorch's order: output, input, row, column.
  template <class Move>
  void each(T* theirs, T* ours, Move move) const {
    for (int o = 0; o < outputs; o++)
      for (int i = 0; i < inputs; i++)
        for (int ky = 0; ky < kernel; ky++)
          for (int kx = 0; kx < kernel; kx++)
            move(theirs[((o * inputs + i) * kernel + ky) * kernel + kx],
                 ours[(o * kernel + ky) * run_width + kx * inputs + i]);
  }

 private:
  T* gradients_ = nullptr;  // for each slice those of the weights, then of the biases
};

// z[p][c] for P positions of a row and Q vectors of output channels, all in registers.
template <class T, int P, int Q>
void conv_tile(const ConvWeights<T>& w, const T* x, int x_row, int channel, T* z, int z_step, int channels) {
  Vec<T> sum[P][Q];
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++) sum[p][q] = load(w.bias.value + channel + q * kLanes<T>);
  const T* weights = w.by_output + channel;
  for (int ky = 0; ky < w.kernel; ky++)
    for (int t = 0; t < w.run; t++, weights += w.width) {
      Vec<T> row[Q];
      for (int q = 0; q < Q; q++) row[q] = load(weights + q * kLanes<T>);
      for (int p = 0; p < P; p++) {
        const Vec<T> value = broadcast(x[ky * x_row + p * w.inputs + t]);
        for (int q = 0; q < Q; q++) sum[p][q] += value * row[q];
      }
    }
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++)
      store_first(z + p * z_step + channel + q * kLanes<T>, sum[p][q], channels - channel - q * kLanes<T>);
}

template <class T, int P, int Q>
void conv_positions(const ConvWeights<T>& w, const T* x, int x_row, int left, int channel, T* z, int z_step, int channels) {
  if constexpr (P > 1) {
    if (left < P) return conv_positions<T, P - 1, Q>(w, x, x_row, left, channel, z, z_step, channels);
  }
  conv_tile<T, P, Q>(w, x, x_row, channel, z, z_step, channels);
}

// A row of outputs, z[x][channels], from the window whose top left corner is at `x`.
template <class T>
void conv_row(const ConvWeights<T>& w, const T* x, int x_row, int count, T* z, int z_step, int channels) {
  constexpr int kPositions = kRegisters == 32 ? 10 : 5;
  for (int channel = 0; channel < w.width;) {
    const bool two = channel + 2 * kLanes<T> <= w.width;
    for (int p = 0; p < count; p += kPositions) {
      if (two)
        conv_positions<T, kPositions, 2>(w, x + p * w.inputs, x_row, count - p, channel, z + p * z_step, z_step, channels);
      else
        conv_positions<T, kPositions, 1>(w, x + p * w.inputs, x_row, count - p, channel, z + p * z_step, z_step, channels);
    }
    channel += (two ? 2 : 1) * kLanes<T>;
  }
}

// Adds a row's part to the gradients: dw[c][ky][t] += sum over the row of dz[x][c] x[ky][x + t].
template <class T, int C, int Q>
void weight_gradient_tile(const T* x, int x_step, int count, const T* dz, int dz_step, T* dw, int dw_step) {
  Vec<T> sum[C][Q];
  for (int c = 0; c < C; c++)
    for (int q = 0; q < Q; q++) sum[c][q] = load(dw + c * dw_step + q * kLanes<T>);
  for (int p = 0; p < count; p++, x += x_step, dz += dz_step) {
    Vec<T> value[Q];
    for (int q = 0; q < Q; q++) value[q] = load(x + q * kLanes<T>);
    for (int c = 0; c < C; c++) {
      const Vec<T> d = broadcast(dz[c]);
      for (int q = 0; q < Q; q++) sum[c][q] += d * value[q];
    }
  }
  for (int c = 0; c < C; c++)
    for (int q = 0; q < Q; q++) store(dw + c * dw_step + q * kLanes<T>, sum[c][q]);
}

template <class T, int C, int Q>
void weight_gradient_channels(const T* x, int x_step, int count, const T* dz, int dz_step, T* dw, int dw_step, int left) {
  if constexpr (C > 1) {
    if (left < C) return weight_gradient_channels<T, C - 1, Q>(x, x_step, count, dz, dz_step, dw, dw_step, left);
  }
  weight_gradient_tile<T, C, Q>(x, x_step, count, dz, dz_step, dw, dw_step);
}

template <class T>
void conv_row_weight_gradient(const ConvWeights<T>& w, const T* x, int x_row, int count, const T* dz, int dz_step, T* dw,
                              T* dbias) {
  constexpr int kChannels = kRegisters == 32 ? 8 : 6;
  const int dw_step = w.kernel * w.run_width;
  for (int ky = 0; ky < w.kernel; ky++)
    for (int c = 0; c < w.outputs; c += kChannels) {
      const T* const from = x + ky * x_row;
      T* const to = dw + c * dw_step + ky * w.run_width;
      int t = 0;
      for (; t + 2 * kLanes<T> <= w.run_width; t += 2 * kLanes<T>)
        weight_gradient_channels<T, kChannels, 2>(from + t, w.inputs, count, dz + c, dz_step, to + t, dw_step, w.outputs - c);
      for (; t < w.run_width; t += kLanes<T>)
        weight_gradient_channels<T, kChannels, 1>(from + t, w.inputs, count, dz + c, dz_step, to + t, dw_step, w.outputs - c);
    }
  for (int p = 0; p < count; p++)
    for (int c = 0; c < w.outputs; c++) dbias[c] += dz[p * dz_step + c];
}

// Adds a row's part to the input's gradient: dx[ky][x + t] += sum over c of dz[x][c] w[c][ky][t].
template <class T, int Q>
void input_gradient_run(const ConvWeights<T>& w, const T* weights, const T* dz, T* dx) {
  Vec<T> sum[Q];
  for (int q = 0; q < Q; q++) sum[q] = load(dx + q * kLanes<T>);
  for (int c = 0; c < w.outputs; c++, weights += w.kernel * w.run_width) {
    const Vec<T> d = broadcast(dz[c]);
    for (int q = 0; q < Q; q++) sum[q] += d * load(weights + q * kLanes<T>);
  }
  for (int q = 0; q < Q; q++) store(dx + q * kLanes<T>, sum[q]);
}

template <class T>
void conv_row_input_gradient(const ConvWeights<T>& w, T* dx, int x_row, int count, const T* dz, int dz_step) {
  for (int p = 0; p < count; p++)
    for (int ky = 0; ky < w.kernel; ky++) {
      T* const to = dx + ky * x_row + p * w.inputs;
      const T* const weights = w.weight.value + ky * w.run_width;
      int t = 0;
      for (; t + 4 * kLanes<T> <= w.run_width; t += 4 * kLanes<T>)
        input_gradient_run<T, 4>(w, weights + t, dz + p * dz_step, to + t);
      for (; t < w.run_width; t += kLanes<T>) input_gradient_run<T, 1>(w, weights + t, dz + p * dz_step, to + t);
    }
}

}  // namespace lenet
