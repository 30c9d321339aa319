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

// Transforms a square of values, of `channels` channels (at least a vector), to points `step` apart. All but the first
// `rows` and `columns` of its values are taken as zero.
template <class Transform, class T>
inline void transform_square(const T* corner, int row, int column, int rows, int columns, int channels, T* to, int step) {
  constexpr int L = kLanes<T>, From = Transform::from;
  for (int c = 0; c < channels; c += L) {
    const int at = std::min(c, channels - L);  // the last vector overlaps the one before
    const auto value = [&](int y, int x) LENET_INLINE { return load(corner + y * row + x * column + at); };
    const auto inside = [&](int y, int x) LENET_INLINE { return y < rows && x < columns ? value(y, x) : Vec<T>{}; };
    const auto point = [&](int y, int x, const Vec<T>& v) LENET_INLINE {
      store(to + size_t(y * Transform::to + x) * step + at, v);
    };
    if (rows >= From && columns >= From)
      transform<Transform, Vec<T>>(value, point);
    else
      transform<Transform, Vec<T>>(inside, point);
  }
}

// Transforms a tile of N x N inputs, of `channels` channels (at least a vector), to points `step` apart. Inputs beyond
// the image's last window are taken as zero: no output that is kept needs them.
template <class T, int N>
void transform_inputs(const WinogradTiles::Place& tile, const Maps<const T>& x, int channels, T* to, int step) {
  constexpr int more = N - kWinogradTile;
  transform_square<OfInputs<T, N>>(x.at(tile.image, tile.top, tile.left), x.row, x.column, tile.rows + more,
                                   tile.columns + more, channels, to, step);
}

}  // namespace lenet
