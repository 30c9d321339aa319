#include "winograd.h"

#include <algorithm>

namespace lenet {

template <class T>
bool winograd_pays(const ConvWeights<T>& w) {
  constexpr int kLeast = std::max(16, kLanes<T>);
  return w.inputs >= kLeast && w.outputs >= kLeast && (w.kernel == 3 || w.kernel == 5) && w.stride_y == 1 &&
         w.stride_x == 1;
}

// Measured: a transform costs about as much as ten products of each of its channels, and in dense loops a product costs
// three quarters of one in a sum over winners.
template <class T>
bool winograd_beats_winners(const ConvWeights<T>& w, int height, int width) {
  const double points = (w.kernel + kWinogradTile - 1) * (w.kernel + kWinogradTile - 1);
  const double dense = WinogradTiles(height, width).per_image * points * (1 + 10.0 / w.inputs + 10.0 / w.outputs);
  const double winners = (height / 2) * (width / 2) * w.kernel * w.kernel;
  return 0.75 * dense < winners;
}

template <class T>
void Winograd<T>::allocate(Arena& arena, int threads, int height, int width) {
  tiles_ = WinogradTiles(height, width);
  block_ = winograd_block(inputs_);
  const int points = (w_.kernel + kWinogradTile - 1) * (w_.kernel + kWinogradTile - 1);
  kernels_ = arena.array<T>(size_t(points) * inputs_ * width_);
  scratch_size_ = size_t(points) * (point_step<T>(block_ * inputs_) + point_step<T>(block_ * kTileVectors * kLanes<T>));
  scratch_ = arena.array<T>(threads * scratch_size_);
}

template <class T>
void Winograd<T>::update(Schedule& schedule) {
  schedule.barrier();  // a kernel's transform needs all of its rows, which are updated one by one
  schedule.columns(Split::singly(channel_tiles()), [this](const Step&, Range tiles, const Worker&) { pack(tiles); });
}

template <class T>
void Winograd<T>::pack(Range channel_tiles) {
  w_.kernel == 5 ? pack_kernels<5>(channel_tiles) : pack_kernels<3>(channel_tiles);
}

template <class T>
void Winograd<T>::convolve(const Maps<const T>& x, int images, const Maps<T>& z, int channels, const T* bias,
                           const Worker& worker) const {
  T* const scratch = scratch_ + worker.index * scratch_size_;
  const int count = images * tiles_.per_image, part = even_part(count, block_);
  for (int begin = 0; begin < count; begin += part) {
    const Range tiles = {begin, std::min(begin + part, count)};
    if (w_.kernel == 5)
      convolve_tiles<5>(tiles, x, z, channels, bias, scratch);
    else
      convolve_tiles<3>(tiles, x, z, channels, bias, scratch);
  }
}

// Position k of a kernel, for one input and a vector of outputs of this pass.
template <class T>
template <int K>
Vec<T> Winograd<T>::kernel_at(int k, int input, int output) const {
  if (pass_ == kForward) {
    const int tile = kTileVectors * kLanes<T>, first = output / tile * tile, lanes = std::min(tile, width_ - first);
    return load(w_.by_output + w_.tile_start(first) + (k * inputs_ + input) * lanes + output - first);
  }
  const int turned = K * K - 1 - k;
  const T* const from = w_.weight.value + (size_t(input) * K + turned / K) * w_.run_width + turned % K * outputs_ + output;
  return load_first(from, outputs_ - output);
}

// Writes [channel tile][point][input][channels of the tile].
template <class T>
template <int K>
void Winograd<T>::pack_kernels(Range channel_tiles) {
  constexpr int L = kLanes<T>, N = K + kWinogradTile - 1;
  for (int tile = channel_tiles.begin; tile < channel_tiles.end; tile++) {
    const int first = tile * kTileVectors * L, lanes = std::min(kTileVectors * L, width_ - first);
    T* const to = kernels_ + size_t(first) * N * N * inputs_;
    for (int i = 0; i < inputs_; i++)
      for (int q = 0; q < lanes; q += L) {
        transform<OfKernel<T, N, K>, Vec<T>>(
            [&](int ky, int kx) LENET_INLINE { return kernel_at<K>(ky * K + kx, i, first + q); },
            [&](int y, int x, const Vec<T>& u) LENET_INLINE { store(to + ((y * N + x) * inputs_ + i) * lanes + q, u); });
      }
  }
}

template <class T>
template <int K>
void Winograd<T>::convolve_tiles(Range tiles, const Maps<const T>& x, const Maps<T>& z, int channels, const T* bias,
                                 T* scratch) const {
  constexpr int L = kLanes<T>, N = K + kWinogradTile - 1;
  const int count = tiles.size(), step = point_step<T>(block_ * inputs_);
  T *const inputs = scratch, *const products = scratch + size_t(N) * N * step;
  for (int t = 0; t < count; t++)
    transform_inputs<T, N>(tiles_.place(tiles.begin + t), x, inputs_, inputs + t * inputs_, step);
  for (int channel = 0; channel < channels;)
    channel += L * with_power_of_two<kTileVectors>((width_ - channel) / L, [&](auto q) {
      constexpr int kPositions = tile_positions(q);
      const int part = even_part(count, kPositions), products_step = point_step<T>(block_ * q * L);
      const T* const kernels = kernels_ + size_t(channel) * N * N * inputs_;
      for (int point = 0; point < N * N; point++)
        for (int p = 0; p < count; p += part)
          with_constant<kPositions>(count - p < part ? count - p : part, [&](auto size) {
            multiply<size, q>(inputs + size_t(point) * step + p * inputs_, kernels + size_t(point) * inputs_ * q * L,
                              products + size_t(point) * products_step + p * q * L);
          });
      for (int t = 0; t < count; t++)
        for (int v = 0; v < q; v++)
          transform_back<K>(tiles_.place(tiles.begin + t), products + (t * q + v) * L, products_step, channel + v * L, z,
                            channels, bias);
    });
}

// Writes a vector of channels of a tile of outputs, from products `step` apart.
template <class T>
template <int K>
void Winograd<T>::transform_back(const WinogradTiles::Place& tile, const T* products, int step, int channel,
                                 const Maps<T>& z, int channels, const T* bias) const {
  constexpr int N = K + kWinogradTile - 1, M = kWinogradTile;
  const Vec<T> offset = bias ? load(bias + channel) : Vec<T>{};
  T* const to = z.at(tile.image, tile.top, tile.left) + channel;
  const auto product = [&](int i, int j) LENET_INLINE { return load(products + size_t(i * N + j) * step); };
  if (tile.rows == M && tile.columns == M && channels - channel >= kLanes<T>)
    transform<OfOutputs<T, N, M>, Vec<T>>(
        product, [&](int i, int j, const Vec<T>& y) LENET_INLINE { store(to + i * z.row + j * z.column, y + offset); });
  else
    transform<OfOutputs<T, N, M>, Vec<T>>(product, [&](int i, int j, const Vec<T>& y) LENET_INLINE {
      if (i < tile.rows && j < tile.columns) store_first(to + i * z.row + j * z.column, y + offset, channels - channel);
    });
}

// products[p][channels of the tile] = sum over inputs of x[p][input] * kernels[input], for P tiles and Q vectors.
template <class T>
template <int P, int Q>
void Winograd<T>::multiply(const T* x, const T* kernels, T* products) const {
  using V = Vec<T>;
  constexpr int L = kLanes<T>;
  V sum[P][Q] = {};
  const int inputs = inputs_;
  for (int i = 0; i < inputs; i++, kernels += Q * L) {
    V row[Q];
    for (int q = 0; q < Q; q++) row[q] = load(kernels + q * L);
    for (int p = 0; p < P; p++) {
      const V value = broadcast(x[p * inputs + i]);
      for (int q = 0; q < Q; q++) sum[p][q] += value * row[q];
    }
  }
  for (int p = 0; p < P; p++)
    for (int q = 0; q < Q; q++) store(products + (p * Q + q) * L, sum[p][q]);
}

template bool winograd_pays(const ConvWeights<float>&);
template bool winograd_pays(const ConvWeights<double>&);
template bool winograd_beats_winners(const ConvWeights<float>&, int, int);
template bool winograd_beats_winners(const ConvWeights<double>&, int, int);
template class Winograd<float>;
template class Winograd<double>;

}  // namespace lenet
