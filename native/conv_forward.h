// A convolution's forward pass, a row of outputs at a time, with the sums of a tile in registers. Two ways to fill
// vectors: with output channels, or, for few of them, with the positions of a row.
#pragma once

#include "conv_weights.h"

namespace lenet {

// ---- Vectors of output channels. Images have channels last, so the values under a row of the kernel are one run.

// z[p][channels] for P neighbouring positions and Q vectors of channels.
template <class T, int P, int Q>
inline void conv_channels_tile(const ConvWeights<T>& w, const T* x, int x_row, int channel, T* z) {
  Vec<T> sum[P][Q];
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++) sum[p][q] = load(w.bias.value + channel + q * kLanes<T>);
  const T* weights = w.by_output + channel;
  const int inputs = w.inputs, run = w.run, width = w.width;
  for (int ky = 0; ky < w.kernel; ky++, x += x_row)
    for (int t = 0; t < run; t++, weights += width) {
      Vec<T> row[Q];
      for (int q = 0; q < Q; q++) row[q] = load(weights + q * kLanes<T>);
      for (int p = 0; p < P; p++) {
        const Vec<T> value = broadcast(x[p * inputs + t]);
        for (int q = 0; q < Q; q++) sum[p][q] += value * row[q];
      }
    }
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++) store(z + p * width + channel + q * kLanes<T>, sum[p][q]);
}

// z[count][w.width] for a row of outputs, from the window whose top left corner is at `x`.
template <class T>
void conv_channels(const ConvWeights<T>& w, const T* x, int x_row, int count, T* z) {
  constexpr int kSums = kRegisters == 32 ? 24 : 12;
  for (int channel = 0; channel < w.width;)
    channel += kLanes<T> * with_power_of_two<2>((w.width - channel) / kLanes<T>, [&](auto q) {
      constexpr int kPositions = q == 1 ? kSums / 2 : kSums / q;
      const int part = even_part(count, kPositions);
      for (int p = 0; p < count; p += part)
        with_constant<kPositions>(count - p < part ? count - p : part, [&](auto size) {
          conv_channels_tile<T, size, q>(w, x + p * w.inputs, x_row, channel, z + p * w.width);
        });
    });
}

// ---- Vectors of positions. Each row of each input channel comes as its even columns, then its odd ones, and so do the
// outputs: the two columns of a pool's window are then two vectors.

struct Planes {
  int height, width;  // of the input with its border
  int half;           // values from a row's even columns to its odd ones, with room to read past the end

  template <class T>
  static Planes of(int height, int width) {
    return {height, width, padded<T>((width + 1) / 2) + kLanes<T>};
  }
  int row() const { return 2 * half; }
  int plane() const { return height * row(); }
};

// z[channel][even, odd][pairs] at the vector of pairs that starts at `x` in the even columns, for C output channels.
template <class T, int C>
inline void conv_row_tile(const ConvWeights<T>& w, const Planes& planes, const T* x, int channel, T* z, int z_half) {
  Vec<T> sum[C][2];
  for (int c = 0; c < C; c++) sum[c][0] = sum[c][1] = broadcast(w.bias.value[channel + c]);
  const int kernel = w.kernel, inputs = w.inputs, width = w.width;
  for (int ky = 0; ky < kernel; ky++)
    for (int i = 0; i < inputs; i++) {
      const T* const row = x + i * planes.plane() + ky * planes.row();
      const T* weights = w.by_output + (ky * w.run + i) * width + channel;
      Vec<T> here = load(row);
      for (int kx = 0; kx < kernel; kx++, weights += inputs * width) {
        // The columns kx + 1 to the right of the even outputs are those kx to the right of the odd ones.
        const Vec<T> next = load(row + ((kx + 1) & 1) * planes.half + ((kx + 1) >> 1));
        for (int c = 0; c < C; c++) {
          const Vec<T> weight = broadcast(weights[c]);
          sum[c][0] += weight * here;
          sum[c][1] += weight * next;
        }
        here = next;
      }
    }
  for (int c = 0; c < C; c++)
    for (int odd = 0; odd < 2; odd++) store(z + ((channel + c) * 2 + odd) * z_half, sum[c][odd]);
}

// A row of outputs, z[channel][even, odd][z_half], from the input row at `x`.
template <class T>
void conv_row(const ConvWeights<T>& w, const Planes& planes, const T* x, T* z, int z_half) {
  constexpr int kChannels = kRegisters == 32 ? 12 : 6;
  const int part = even_part(w.outputs, kChannels);
  for (int pair = 0; pair < z_half; pair += kLanes<T>)
    for (int c = 0; c < w.outputs; c += part)
      with_constant<kChannels>(w.outputs - c < part ? w.outputs - c : part, [&](auto channels) {
        conv_row_tile<T, channels>(w, planes, x + pair, c, z + pair, z_half);
      });
}

}  // namespace lenet
