// Tiles of images for Winograd's algorithm, and the transform of their inputs.
#pragma once

#include <algorithm>

#include "blob.h"
#include "vector.h"
#include "winograd_transforms.h"

namespace lenet {

constexpr int kWinogradTile = 4;  // outputs along a side of a tile

// The tiles of images whose outputs have this size, numbered through all images.
struct WinogradTiles {
  int height = 0, width = 0;
  int across = 0, per_image = 0;

  WinogradTiles() = default;
  WinogradTiles(int height, int width)
      : height(height),
        width(width),
        across((width + kWinogradTile - 1) / kWinogradTile),
        per_image(across * ((height + kWinogradTile - 1) / kWinogradTile)) {}

  struct Place {
    int image, top, left;
    int rows, columns;  // of its outputs that are in the image
  };
  Place place(int tile) const {
    const int in_image = tile % per_image;
    const int top = in_image / across * kWinogradTile, left = in_image % across * kWinogradTile;
    return {tile / per_image, top, left, std::min(kWinogradTile, height - top), std::min(kWinogradTile, width - left)};
  }
};

// Number of images that a convolution processes together: the transformed kernels, and sums over tiles, are read once
// for all tiles of a group.
inline int winograd_group(int height, int width) {
  constexpr int kMostTiles = 64;
  return std::max(1, kMostTiles / WinogradTiles(height, width).per_image);
}

// Most tiles that are transformed before their products are computed, if each has this many values at a point: all of
// them should stay in the L2 cache, of 512 KiB, or of 1 MiB in most processors whose vectors have 64 bytes.
constexpr int winograd_block(int channels) { return std::max(8, (kVectorBytes < 64 ? 1024 : 2048) / channels); }

// Distance between the values of two points, for this number of values. A multiple of 4096 bytes would put all points of a
// tile into the same few lines of the cache, hence the extra line.
template <class T>
constexpr int point_step(int values) {
  return round_up(values, 64 / int(sizeof(T))) + 64 / int(sizeof(T));
}

// A vector of channels of `rows` x `columns` of N x N values, and zeros.
template <class T, int N>
inline void load_square(const Maps<const T>& x, int rows, int columns, Vec<T>* values) {
  if (rows >= N && columns >= N) {
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) values[i * N + j] = load(x.at(0, i, j));
  } else {
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++) values[i * N + j] = i < rows && j < columns ? load(x.at(0, i, j)) : Vec<T>{};
  }
}

// Transforms a tile of N x N inputs, of `channels` channels (at least a vector), to points `step` apart. Inputs beyond
// the image's last window are taken as zero: no output that is kept needs them.
template <class T, int N>
void transform_inputs(const WinogradTiles::Place& tile, const Maps<const T>& x, int channels, T* to, int step) {
  constexpr int L = kLanes<T>, more = N - kWinogradTile;
  const T* const corner = x.at(tile.image, tile.top, tile.left);
  const int rows = tile.rows + more, columns = tile.columns + more;
  for (int c = 0; c < channels; c += L) {
    const int at = std::min(c, channels - L);  // the last vector overlaps the one before
    Vec<T> d[N * N], u[N * N];
    load_square<T, N>({corner + at, 0, x.row, x.column}, rows, columns, d);
    transform<OfInputs<T, N>>(d, u);
    for (int k = 0; k < N * N; k++) store(to + size_t(k) * step + at, u[k]);
  }
}

}  // namespace lenet
