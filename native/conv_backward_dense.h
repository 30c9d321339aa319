// A convolution's gradients where every output has a gradient.
#pragma once

#include "conv_weights.h"
#include "vector.h"

namespace lenet {

// Gradient of the outputs of an image, or of some of its rows and columns: channel c of column x of row y is
// data[y * row + x * column + c * channel].
template <class T>
struct Gradients {
  const T* data;
  int rows, columns;
  int row, column, channel;
};

// sums[c] += the sum over positions of dz[i][c], for values with channels last: the bias's gradient. The vectors run
// over the values as they lie in memory, so every `channels`-th vector holds the same channels.
template <class T>
void conv_bias_gradient(const T* dz, int positions, int channels, T* sums) {
  constexpr int kMost = 32;
  int i = 0;
  if (channels <= kMost && positions >= kLanes<T>) {
    Vec<T> lanes[kMost] = {};
    for (; i + kLanes<T> <= positions; i += kLanes<T>)
      for (int v = 0; v < channels; v++) lanes[v] += load(dz + i * channels + v * kLanes<T>);
    for (int v = 0, c = 0; v < channels; v++)
      for (int l = 0; l < kLanes<T>; l++, c = c + 1 < channels ? c + 1 : 0) sums[c] += lanes[v][l];
  }
  for (; i < positions; i++)
    for (int c = 0; c < channels; c++) sums[c] += dz[i * channels + c];
}

// dw[c][ky][t] += sum over positions of dz[y][x][c] * value t of the window of (y, x), for C channels and Q vectors of a
// run; windows are x_row and x_column apart.
template <class T, int C, int Q>
inline void weight_gradient_tile(const T* x, int x_row, int x_column, const Gradients<T>& dz, int c0, T* dw, int dw_step) {
  Vec<T> sum[C][Q];
  for (int c = 0; c < C; c++)
    for (int q = 0; q < Q; q++) sum[c][q] = load(dw + c * dw_step + q * kLanes<T>);
  const int columns = dz.columns, dz_column = dz.column, dz_channel = dz.channel;
  for (int y = 0; y < dz.rows; y++) {
    const T* from = x + y * x_row;
    const T* d = dz.data + y * dz.row + c0 * dz_channel;
    for (int p = 0; p < columns; p++, from += x_column, d += dz_column) {
      Vec<T> value[Q];
      for (int q = 0; q < Q; q++) value[q] = load(from + q * kLanes<T>);
      for (int c = 0; c < C; c++) {
        const Vec<T> factor = broadcast(d[c * dz_channel]);
        for (int q = 0; q < Q; q++) sum[c][q] += factor * value[q];
      }
    }
  }
  for (int c = 0; c < C; c++)
    for (int q = 0; q < Q; q++) store(dw + c * dw_step + q * kLanes<T>, sum[c][q]);
}

// Adds to the weight's gradient, [outputs][kernel][run_width]. `x` is the top left corner of the first output's window;
// the next output's window is x_column values further on, that of the next row of outputs w.stride_y rows.
template <class T>
void conv_weight_gradient(const ConvWeights<T>& w, const T* x, int x_row, int x_column, const Gradients<T>& dz, T* dw) {
  const int dw_step = w.kernel * w.run_width;
  for (int ky = 0; ky < w.kernel; ky++)
    for (int t = 0; t < w.run_width;)
      t += kLanes<T> * with_power_of_two<2>((w.run_width - t) / kLanes<T>, [&](auto q) {
        constexpr int kChannels = tile_positions(q);
        const int part = even_part(w.outputs, kChannels);
        for (int c = 0; c < w.outputs; c += part)
          with_constant<kChannels>(w.outputs - c < part ? w.outputs - c : part, [&](auto size) {
            weight_gradient_tile<T, size, q>(x + ky * x_row + t, w.stride_y * x_row, x_column, dz, c,
                                             dw + c * dw_step + ky * w.run_width + t, dw_step);
          });
      });
}

// dx[p][t] += sum over c of dz[p][c] * w[c][ky][t], for P positions of one column, whose windows are dx_row apart, and Q
// vectors of a run. Short vectors, since runs are not aligned.
template <class T, int P, int Q>
inline void input_gradient_tile(const ConvWeights<T>& w, const T* weights, const Gradients<T>& dz, const T* d, T* dx,
                                int dx_row) {
  constexpr int L = kShortLanes<T>;
  Vec<T, kShortBytes> sum[P][Q] = {};
  const int next = w.kernel * w.run_width;
  for (int c = 0; c < w.outputs; c++, weights += next) {
    Vec<T, kShortBytes> row[Q];
    for (int q = 0; q < Q; q++) row[q] = load<kShortBytes>(weights + q * L);
    for (int p = 0; p < P; p++) {
      const Vec<T, kShortBytes> factor = broadcast<kShortBytes>(d[p * dz.row + c * dz.channel]);
      for (int q = 0; q < Q; q++) sum[p][q] += factor * row[q];
    }
  }
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++) {
      T* const to = dx + p * dx_row + q * L;
      store<kShortBytes>(to, load<kShortBytes>(to) + sum[p][q]);
    }
}

// Adds to the input's gradient; `dx` is the top left corner of the first output's window. Runs of neighbouring columns
// overlap, so a tile covers positions of one column: then no load depends on the previous store.
template <class T>
void conv_input_gradient(const ConvWeights<T>& w, T* dx, int dx_row, const Gradients<T>& dz) {
  constexpr int L = kShortLanes<T>;
  const int width = round_up(w.run, L);
  for (int ky = 0; ky < w.kernel; ky++)
    for (int t = 0; t < width;)
      t += L * with_power_of_two<4>((width - t) / L, [&](auto q) {
        constexpr int kPositions = tile_positions(q);
        const int part = even_part(dz.rows, kPositions);
        for (int x = 0; x < dz.columns; x++)
          for (int y = 0; y < dz.rows; y += part)
            with_constant<kPositions>(dz.rows - y < part ? dz.rows - y : part, [&](auto size) {
              T* const to = dx + (y * w.stride_y + ky) * dx_row + x * w.stride_x * w.inputs + t;
              input_gradient_tile<T, size, q>(w, w.weight.value + ky * w.run_width + t, dz,
                                              dz.data + y * dz.row + x * dz.column, to, w.stride_y * dx_row);
            });
      });
}

}  // namespace lenet
