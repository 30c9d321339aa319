#include "winograd_gradient.h"

#include <algorithm>

namespace lenet {

namespace {

// Transforms a 4x4 tile of gradients, of `channels` channels (at least a vector), to points `step` apart.
template <class T, int N>
void transform_gradients(const WinogradTiles::Place& tile, const Maps<const T>& dz, int channels, T* to, int step) {
  transform_square<OfKernel<T, N, kWinogradTile>>(dz.at(tile.image, tile.top, tile.left), dz.row, dz.column, tile.rows,
                                                  tile.columns, channels, to, step);
}

// sums[c][t] = (first ? 0 : sums[c][t]) + sum over tiles of gradients[tile][c] * inputs[tile][t], for C channels and Q
// vectors of inputs.
template <class T, int C, int Q>
inline void sum_tile(const T* gradients, int gradients_step, const T* inputs, int inputs_step, int tiles, bool first,
                     T* sums, int sums_step) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[C][Q];
  for (int c = 0; c < C; c++)
    for (int q = 0; q < Q; q++) sum[c][q] = first ? Vec<T>{} : load(sums + c * sums_step + q * L);
  for (int tile = 0; tile < tiles; tile++, gradients += gradients_step, inputs += inputs_step) {
    Vec<T> value[Q];
    for (int q = 0; q < Q; q++) value[q] = load(inputs + q * L);
    for (int c = 0; c < C; c++) {
      const Vec<T> factor = broadcast(gradients[c]);
      for (int q = 0; q < Q; q++) sum[c][q] += factor * value[q];
    }
  }
  for (int c = 0; c < C; c++)
    for (int q = 0; q < Q; q++) store(sums + c * sums_step + q * L, sum[c][q]);
}

}  // namespace

template <class T>
void WinogradGradient<T>::allocate(Arena& arena, int threads, int height, int width) {
  tiles_ = WinogradTiles(height, width);
  block_ = winograd_block(std::max(w_.inputs, w_.outputs));
  scratch_size_ = size_t(points()) *
                  (sums_step() + point_step<T>(block_ * input_width_) + point_step<T>(block_ * w_.outputs));
  scratch_ = arena.array<T>(threads * scratch_size_);
}

template <class T>
void WinogradGradient<T>::add(const Maps<const T>& x, const Maps<const T>& dz, int images, bool first,
                              const Worker& worker) const {
  const int count = images * tiles_.per_image, part = even_part(count, block_);
  for (int begin = 0; begin < count; begin += part) {
    const Range tiles = {begin, std::min(begin + part, count)};
    if (w_.kernel == 5)
      add_tiles<5>(tiles, x, dz, first && begin == 0, sums(worker));
    else
      add_tiles<3>(tiles, x, dz, first && begin == 0, sums(worker));
  }
}

template <class T>
void WinogradGradient<T>::finish(T* dw, const Worker& worker) const {
  w_.kernel == 5 ? transform_back<5>(sums(worker), dw) : transform_back<3>(sums(worker), dw);
}

template <class T>
template <int K>
void WinogradGradient<T>::add_tiles(Range tiles, const Maps<const T>& x, const Maps<const T>& dz, bool first,
                                    T* sums) const {
  constexpr int L = kLanes<T>, N = K + kWinogradTile - 1;
  const int count = tiles.size(), outputs = w_.outputs;
  const int inputs_step = point_step<T>(block_ * input_width_), gradients_step = point_step<T>(block_ * outputs);
  T *const inputs = sums + size_t(N) * N * sums_step(), *const gradients = inputs + size_t(N) * N * inputs_step;
  for (int t = 0; t < count; t++) {
    const auto place = tiles_.place(tiles.begin + t);
    transform_inputs<T, N>(place, x, w_.inputs, inputs + t * input_width_, inputs_step);
    transform_gradients<T, N>(place, dz, outputs, gradients + t * outputs, gradients_step);
  }
  for (int point = 0; point < N * N; point++)
    for (int i = 0; i < input_width_;)
      i += L * with_power_of_two<2>((input_width_ - i) / L, [&](auto q) {
        constexpr int kChannels = tile_positions(q);
        const int part = even_part(outputs, kChannels);
        for (int c = 0; c < outputs; c += part)
          with_constant<kChannels>(outputs - c < part ? outputs - c : part, [&](auto size) {
            sum_tile<T, size, q>(gradients + size_t(point) * gradients_step + c, outputs,
                                 inputs + size_t(point) * inputs_step + i, input_width_, count, first,
                                 sums + size_t(point) * sums_step() + c * input_width_ + i, input_width_);
          });
      });
}

template <class T>
template <int K>
void WinogradGradient<T>::transform_back(const T* sums, T* dw) const {
  constexpr int L = kLanes<T>, N = K + kWinogradTile - 1;
  for (int c = 0; c < w_.outputs; c++)
    for (int i = 0; i < w_.inputs; i += L) {
      const T* const from = sums + c * input_width_ + i;
      T* const to = dw + size_t(c) * K * w_.run_width + i;
      transform<OfOutputs<T, N, K>, Vec<T>>(
          [&](int y, int x) LENET_INLINE { return load(from + size_t(y * N + x) * sums_step()); },
          [&](int ky, int kx, const Vec<T>& g) LENET_INLINE {
            store_first(to + ky * w_.run_width + kx * w_.inputs, g, w_.inputs - i);
          });
    }
}

template class WinogradGradient<float>;
template class WinogradGradient<double>;

}  // namespace lenet
