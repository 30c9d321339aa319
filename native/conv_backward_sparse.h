// A convolution's gradients after an activation and a max pool: only the maximum of each 2x2 window, its winner, has a
// gradient, and with ReLU only where it is positive. The caller lists the winners with a gradient other than zero, so
// that the loops over them have no branches.
#pragma once

#include <cstddef>
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
    const T* at = from + winners[i].offset;
    for (int r = 0; r < Rows; r++, at += from_row)
      for (int q = 0; q < Q; q++) sum[r][q] += d * load<kShortBytes>(at + q * L);
  }
  for (int r = 0; r < Rows; r++)
    for (int q = 0; q < Q; q++) store<kShortBytes>(to + r * to_row + q * L, sum[r][q]);
}

// Lists of winners, each `most` after the one before: counts[i] of them from winners[i * most].
template <class T>
struct Winners {
  Winner<T>* winners;
  int* counts;
  int most;

  Winner<T>* list(int i) const { return winners + size_t(i) * most; }
};

// Adds each winner's gradient times its window of x to the weight's gradient; a list holds a channel's winners. Tiles are
// the outer loop: the values of x under a tile fit into the L1 cache, those under all tiles may not.
template <class T>
void winners_weight_gradient(const ConvWeights<T>& w, const Winners<T>& by_channel, const T* x, int x_row, T* dw) {
  constexpr int kSums = kRegisters == 32 ? 24 : 12, L = kShortLanes<T>;
  const int width = round_up(w.run, L);
  for (int t = 0; t < width;)
    t += L * with_power_of_two<4>((width - t) / L, [&](auto q) {
      constexpr int kRows = kSums / q < 5 ? kSums / q : 5;
      const int part = even_part(w.kernel, kRows);
      for (int ky = 0; ky < w.kernel; ky += part)
        with_constant<kRows>(w.kernel - ky < part ? w.kernel - ky : part, [&](auto size) {
          for (int c = 0; c < w.outputs; c++)
            winners_tile<T, size, q>(by_channel.list(c), by_channel.counts[c], x + ky * x_row + t, x_row,
                                     dw + (c * w.kernel + ky) * w.run_width + t, w.run_width);
        });
    });
}

// Most channels whose weights under a tile of winners_input_gradient fit into the L1 cache: a winner's four positions
// read six rows of five vectors, about 1 KB.
constexpr int kMostBlock = 20;

// How `outputs` channels are divided into blocks of equal size; the last may be smaller.
struct Blocks {
  explicit Blocks(int outputs) : size(even_part(outputs, kMostBlock)), count((outputs + size - 1) / size) {}
  int size, count;
};

// Adds to the input's gradient; `dx` is the top left corner of the inputs under the first pool window. A list holds the
// winners of a window among the channels of a block: all windows of the first block, in `rows` rows, then those of the
// next. The winners of all channels are summed in the same registers, whichever of the four positions each won at (see
// ConvWeights::at_winner).
// Windows below each other follow each other: where they overlap, the loads of one have the addresses of the stores of
// the one before, which a processor can forward.
template <class T>
void winners_input_gradient(const ConvWeights<T>& w, const Winners<T>& by_window, int blocks, int rows, int columns, T* dx,
                            int dx_row) {
  constexpr int kSums = kRegisters == 32 ? 30 : 12, kVectors = 5, L = kShortLanes<T>;
  const int vectors = w.window / L, part = even_part(vectors, kVectors);
  for (int block = 0; block < blocks; block++)
    for (int v = 0; v < vectors; v += part)
      with_constant<kVectors>(vectors - v < part ? vectors - v : part, [&](auto q) {
        constexpr int kRows = kSums / q < 6 ? kSums / q : 6;
        const int most = even_part(w.kernel + 1, kRows), t = v * L;
        for (int r = 0; r <= w.kernel; r += most)
          with_constant<kRows>(w.kernel + 1 - r < most ? w.kernel + 1 - r : most, [&](auto size) {
            for (int px = 0; px < columns; px++)
              for (int py = 0; py < rows; py++) {
                const int i = (block * rows + py) * columns + px;
                winners_tile<T, size, q>(by_window.list(i), by_window.counts[i], w.shifted + r * w.shifted_row + t,
                                         w.shifted_row, dx + (2 * py + r) * dx_row + 2 * px * w.inputs + t, dx_row);
              }
          });
      });
}

}  // namespace lenet
