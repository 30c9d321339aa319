// A convolution's forward pass. The sums of a tile stay in registers. Vectors hold output
// channels (conv_channels) or, where there are few of those, positions of a row (conv_row).
#pragma once

#include "blob.h"
#include "conv_weights.h"
#include "planes.h"
#include "vector.h"

namespace lenet {

// ---- Vectors of output channels. Images have channels last, so the values under one row of the kernel are contiguous:
// a run.

// z[p][channel...] for P neighbouring positions and Q vectors of channels, of which the first `channels` are stored.
template <class T, int P, int Q>
inline void conv_channels_tile(const ConvWeights<T>& w, const T* x, int x_row, int channel, T* z, int z_column, int channels) {
  Vec<T> sum[P][Q];
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++) sum[p][q] = load(w.bias.value + channel + q * kLanes<T>);
  const T* weights = w.by_output + w.tile_start(channel);
  const int column = w.stride_x * w.inputs, run = w.run;
  for (int ky = 0; ky < w.kernel; ky++, x += x_row)
    for (int t = 0; t < run; t++, weights += Q * kLanes<T>) {
      Vec<T> row[Q];
      for (int q = 0; q < Q; q++) row[q] = load(weights + q * kLanes<T>);
      for (int p = 0; p < P; p++) {
        const Vec<T> value = broadcast(x[p * column + t]);
        for (int q = 0; q < Q; q++) sum[p][q] += value * row[q];
      }
    }
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++) store_first(z + p * z_column + q * kLanes<T>, sum[p][q], channels - q * kLanes<T>);
}

// z[rows][columns][channels] of one image, where `channels` is w.outputs or w.width; `x` is the top left corner of the first
// window. All rows use the weights of a tile of channels in turn, which stay in the cache: those of all channels may be
// larger than it.
template <class T>
void conv_channels(const ConvWeights<T>& w, const Maps<const T>& x, int rows, int columns, const Maps<T>& z, int channels) {
  for (int channel = 0; channel < w.width;)
    channel += kLanes<T> * with_power_of_two<kTileVectors>((w.width - channel) / kLanes<T>, [&](auto q) {
      constexpr int kPositions = tile_positions(q);
      const int part = even_part(columns, kPositions);
      for (int y = 0; y < rows; y++)
        for (int p = 0; p < columns; p += part)
          with_constant<kPositions>(columns - p < part ? columns - p : part, [&](auto size) {
            conv_channels_tile<T, size, q>(w, x.at(0, y * w.stride_y, p * w.stride_x), x.row, channel,
                                           z.at(0, y, p) + channel, z.column, channels - channel);
          });
    });
}

// ---- Vectors of positions. Inputs are in the layout of Planes, outputs likewise in even and odd columns: the two columns
// of a pool's windows are then two vectors.

// z[channel][even, odd][pair] for C output channels and one vector of column pairs; `x` is the first pair's even
// column.
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
        // An odd output's column kx is the column kx + 1 of the even output to its left.
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

// z[outputs][even, odd][z_half] for a row of outputs; `x` is the first row of their windows.
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
