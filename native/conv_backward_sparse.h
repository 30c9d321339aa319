// A convolution's gradients after an activation and a max pool: only the maximum of each 2x2 window, its winner, has a
// gradient, and with ReLU only where it is positive. The caller lists the winners with a gradient other than zero, so
// that the loops over them have no branches.
#pragma once

#include <cstdint>

#include "conv_weights.h"
#include "vector.h"

namespace lenet {

// The gradient of one output, and the offset at which its factors start (see winners_tile).
template <class T>
struct Winner {
  T gradient;
  int32_t offset;
};

// to[r][t] += sum over winners of gradient * from[offset + r][t], for Rows rows and Q vectors of their values. Short
// vectors, since offsets are not aligned.
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

// Adds to the weight's gradient of one channel, [kernel][run_width]: each winner's gradient times its window of x.
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

// Adds the part of one pool window to the input's gradient; `dx` is the top left corner of the inputs under the window.
// The winners of all channels are summed in the same registers, whichever of the four positions each won at (see
// ConvWeights::at_winner).
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
