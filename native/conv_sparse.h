// A convolution's backward passes after a max pool: only the winner of each 2x2 window has a gradient, and only where
// its activation was open. Lists of those are made first, so that the loops over them are without branches.
#pragma once

#include "conv_forward.h"

namespace lenet {

// One output's gradient, and where its window lies in the input.
template <class T>
struct Winner {
  T gradient;
  int32_t offset;
};

// sums[c] += values[i][c] for so many positions. Flat, every `channels`-th vector holds the same channels.
template <class T>
void add_by_channel(const T* values, int positions, int channels, T* sums) {
  constexpr int kMost = 32;
  int i = 0;
  if (channels <= kMost) {
    Vec<T> lanes[kMost] = {};
    for (; i + kLanes<T> <= positions; i += kLanes<T>)
      for (int v = 0; v < channels; v++) lanes[v] += load(values + i * channels + v * kLanes<T>);
    for (int v = 0, c = 0; v < channels; v++)
      for (int l = 0; l < kLanes<T>; l++, c = c + 1 < channels ? c + 1 : 0) sums[c] += lanes[v][l];
  }
  for (; i < positions; i++)
    for (int c = 0; c < channels; c++) sums[c] += values[i * channels + c];
}

// Winners' windows start anywhere, so this loop goes by short vectors.

// to[r][t] += sum over winners of gradient * from[offset + r][t], for Rows rows and Q vectors of their values.
template <class T, int Rows, int Q>
inline void winners_tile(const Winner<T>* winners, int count, const T* from, int from_row, T* to, int to_row) {
  constexpr int L = kShortLanes<T>;
  Vec<T, kShortBytes> sum[Rows][Q];
  for (int r = 0; r < Rows; r++)
    for (int q = 0; q < Q; q++) sum[r][q] = load<kShortBytes>(to + r * to_row + q * L);
  for (int i = 0; i < count; i++) {
    const Vec<T, kShortBytes> d = broadcast<kShortBytes>(winners[i].gradient);
    const T* const at = from + winners[i].offset;
    for (int r = 0; r < Rows; r++)
      for (int q = 0; q < Q; q++) sum[r][q] += d * load<kShortBytes>(at + r * from_row + q * L);
  }
  for (int r = 0; r < Rows; r++)
    for (int q = 0; q < Q; q++) store<kShortBytes>(to + r * to_row + q * L, sum[r][q]);
}

// Adds to one channel's dw, [kernel][run_width]: a winner's window of x, times its gradient.
template <class T>
void winners_weight_gradient(const ConvWeights<T>& w, const Winner<T>* winners, int count, const T* x, int x_row, T* dw) {
  constexpr int kSums = kRegisters == 32 ? 24 : 12, L = kShortLanes<T>;
  const int width = round_up(w.run, L);
  for (int t = 0; t < width;)
    t += L * with_power_of_two<4>((width - t) / L, [&](auto q) {
      constexpr int kRows = kSums / q < 5 ? kSums / q : 5;
      const int part = even_part(w.kernel, kRows);
      for (int ky = 0; ky < w.kernel; ky += part)
        with_constant<kRows>(w.kernel - ky < part ? w.kernel - ky : part, [&](auto size) {
          winners_tile<T, size, q>(winners, count, x + ky * x_row + t, x_row, dw + ky * w.run_width + t, w.run_width);
        });
    });
}

// Adds one window's part to the input's gradient, whose corner under the window is at `dx`: all open channels' winners
// in the same registers, whichever of the four positions won (see ConvWeights::at_winner).
template <class T>
void winners_input_gradient(const ConvWeights<T>& w, const Winner<T>* winners, int count, T* dx, int dx_row) {
  constexpr int kSums = kRegisters == 32 ? 30 : 12, kVectors = 5, L = kShortLanes<T>;
  const int vectors = w.window / L, part = even_part(vectors, kVectors);
  for (int v = 0; v < vectors; v += part)
    with_constant<kVectors>(vectors - v < part ? vectors - v : part, [&](auto q) {
      constexpr int kRows = kSums / q < 6 ? kSums / q : 6;
      const int rows = even_part(w.kernel + 1, kRows), t = v * L;
      for (int r = 0; r <= w.kernel; r += rows)
        with_constant<kRows>(w.kernel + 1 - r < rows ? w.kernel + 1 - r : rows, [&](auto size) {
          winners_tile<T, size, q>(winners, count, w.shifted + r * w.shifted_row + t, w.shifted_row,
                                   dx + r * dx_row + t, dx_row);
        });
    });
}

}  // namespace lenet
