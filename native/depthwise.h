// A convolution of each channel by itself. Vectors hold channels.
#pragma once

#include <algorithm>

#include "blob.h"
#include "vector.h"

namespace lenet {

// The values that are summed for one output, each times a weight.
struct Taps {
  int rows, columns;
  int row, column;                // distances between the values of neighbouring taps
  int weight_row, weight_column;  // and between their weights
};

// z[p] = start[p] + the sum over taps, for P neighbouring outputs and one vector of channels, of which the first
// `channels` are stored. The steps are those from one output to the next.
template <class T, int P>
inline void depthwise_tile(const Taps& taps, const T* x, int x_step, const T* weights, const T* start, int start_step, T* z,
                           int z_step, int channels) {
  Vec<T> sum[P];
  for (int p = 0; p < P; p++) sum[p] = load(start + p * start_step);
  for (int r = 0; r < taps.rows; r++, x += taps.row, weights += taps.weight_row)
    for (int t = 0; t < taps.columns; t++) {
      const Vec<T> weight = load(weights + t * taps.weight_column);
      const T* const from = x + t * taps.column;
      for (int p = 0; p < P; p++) sum[p] += load(from + p * x_step) * weight;
    }
  for (int p = 0; p < P; p++) store_first(z + p * z_step, sum[p], channels);
}

// z[rows][columns][channels] = start + the sums over taps. `x` has the values of the first tap, a row and a column
// further for the next output; weights: of the first tap.
template <class T>
void depthwise(const Taps& taps, const Maps<const T>& x, const T* weights, const Maps<const T>& start, const Maps<T>& z,
               int rows, int columns, int channels) {
  constexpr int kPositions = 8;
  if (columns < 1) return;
  const int part = even_part(columns, kPositions);
  for (int y = 0; y < rows; y++)
    for (int c = 0; c < channels; c += kLanes<T>)
      for (int p = 0; p < columns; p += part)
        with_constant<kPositions>(std::min(part, columns - p), [&](auto size) {
          depthwise_tile<T, size>(taps, x.at(0, y, p) + c, x.column, weights + c, start.at(0, y, p) + c, start.column,
                                  z.at(0, y, p) + c, z.column, channels - c);
        });
}

// dw[r][k] += the sum over positions of dz times the value of tap (r, k), for R x K taps and one vector of channels.
template <class T, int R, int K>
inline void depthwise_weight_tile(const Taps& taps, const Maps<const T>& x, const Maps<const T>& dz, int rows, int columns,
                                  T* dw) {
  Vec<T> sum[R][K];
  for (int r = 0; r < R; r++)
    for (int k = 0; k < K; k++) sum[r][k] = load(dw + r * taps.weight_row + k * taps.weight_column);
  for (int y = 0; y < rows; y++) {
    const T *from = x.at(0, y, 0), *d = dz.at(0, y, 0);
    for (int p = 0; p < columns; p++, from += x.column, d += dz.column) {
      const Vec<T> gradient = load(d);
      for (int r = 0; r < R; r++)
        for (int k = 0; k < K; k++) sum[r][k] += gradient * load(from + r * taps.row + k * taps.column);
    }
  }
  for (int r = 0; r < R; r++)
    for (int k = 0; k < K; k++) store(dw + r * taps.weight_row + k * taps.weight_column, sum[r][k]);
}

// Adds to the weights' gradient; `x` as for `depthwise`, for dz[rows][columns][channels]. For any number of channels: dw
// is padded to vectors, and its padding is meaningless.
template <class T>
void depthwise_weight_gradient(const Taps& taps, const Maps<const T>& x, const Maps<const T>& dz, int rows, int columns,
                               int channels, T* dw) {
  with_constant<5>(taps.columns, [&](auto kernel) {
    constexpr int kSums = kRegisters == 32 ? 25 : 12, kRows = kernel * kernel <= kSums ? kernel : kSums / kernel;
    for (int r = 0; r < taps.rows; r += kRows)
      with_constant<kRows>(std::min(kRows, taps.rows - r), [&](auto size) {
        for (int c = 0; c < channels; c += kLanes<T>)
          depthwise_weight_tile<T, size, kernel>(taps, x.from(r * taps.row + c), dz.from(c), rows, columns,
                                                 dw + r * taps.weight_row + c);
      });
  });
}

}  // namespace lenet
