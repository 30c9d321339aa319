// Winograd's convolution. In one dimension the K + 3 points 0, p, -p, ... and infinity turn a convolution into products
// of polynomials' values. Points of both signs share their even and odd parts.
#include "winograd.h"

namespace lenet {

namespace {

constexpr int kTile = 4;  // outputs along a side of a tile

template <int K>
constexpr int kSide = K + kTile - 1;  // inputs along a side of a tile

// The transforms' constants. Row k of the input's transform has, for the points +-point[k], the even part `even[k]` and
// the odd part +-odd[k]; for 0 and infinity it has `ends`. zero, scale: factors of the kernel's values.
template <int K>
struct WinogradPoints;

template <>
struct WinogradPoints<5> {
  static constexpr int pairs = 3;
  static constexpr double point[] = {1, 2, 0.5}, zero = -1, scale[] = {-2.0 / 9, 1.0 / 90, 32.0 / 45};
  static constexpr double ends[] = {-1, 5.25, -5.25, 1};
  static constexpr double even[][3] = {{1, -4.25, 1}, {0.25, -1.25, 1}, {4, -5, 1}};
  static constexpr double odd[][3] = {{1, -4.25, 1}, {0.5, -2.5, 2}, {2, -2.5, 0.5}};
};

template <>
struct WinogradPoints<3> {
  static constexpr int pairs = 2;
  static constexpr double point[] = {1, 2}, zero = 0.25, scale[] = {-1.0 / 6, 1.0 / 24};
  static constexpr double ends[] = {4, -5, 1};
  static constexpr double even[][2] = {{-4, 1}, {-1, 1}};
  static constexpr double odd[][2] = {{-4, 1}, {-2, 2}};
};

// The one-dimensional transforms; the steps are distances of neighbouring values.
template <class T, int K>
void transform_inputs(const Vec<T>* d, int d_step, Vec<T>* to, int to_step) {
  using V = Vec<T>;
  using Points = WinogradPoints<K>;
  constexpr int N = kSide<K>, P = Points::pairs;
  V zero = T(Points::ends[0]) * d[0], infinity = T(Points::ends[0]) * d[d_step];
  for (int j = 1; j <= P; j++) {
    zero += T(Points::ends[j]) * d[2 * j * d_step];
    infinity += T(Points::ends[j]) * d[(2 * j + 1) * d_step];
  }
  to[0] = zero;
  to[(N - 1) * to_step] = infinity;
  for (int k = 0; k < P; k++) {
    V even = T(Points::even[k][0]) * d[2 * d_step], odd = T(Points::odd[k][0]) * d[d_step];
    for (int j = 1; j < P; j++) {
      even += T(Points::even[k][j]) * d[(2 * j + 2) * d_step];
      odd += T(Points::odd[k][j]) * d[(2 * j + 1) * d_step];
    }
    to[(2 * k + 1) * to_step] = even + odd;
    to[(2 * k + 2) * to_step] = even - odd;
  }
}

template <class T, int K>
void transform_kernel(const Vec<T>* g, int g_step, Vec<T>* to, int to_step) {
  using V = Vec<T>;
  using Points = WinogradPoints<K>;
  to[0] = T(Points::zero) * g[0];
  to[(kSide<K> - 1) * to_step] = g[(K - 1) * g_step];
  for (int k = 0; k < Points::pairs; k++) {
    const T p = T(Points::point[k]), scale = T(Points::scale[k]);
    V even = g[(K - 1) * g_step], odd = {};  // Horner's rule in p * p
    for (int j = K - 3; j >= 0; j -= 2) even = even * (p * p) + g[j * g_step];
    for (int j = K - 2; j >= 0; j -= 2) odd = odd * (p * p) + g[j * g_step];
    even *= scale;
    odd *= scale * p;
    to[(2 * k + 1) * to_step] = even + odd;
    to[(2 * k + 2) * to_step] = even - odd;
  }
}

template <class T, int K>
void transform_outputs(const Vec<T>* m, int m_step, Vec<T>* to, int to_step) {
  using V = Vec<T>;
  using Points = WinogradPoints<K>;
  V y[kTile] = {m[0], {}, {}, m[(kSide<K> - 1) * m_step]};
  for (int k = 0; k < Points::pairs; k++) {
    const T p = T(Points::point[k]);
    const V plus = m[(2 * k + 1) * m_step], minus = m[(2 * k + 2) * m_step];
    const V sum = plus + minus, difference = plus - minus;
    y[0] += sum;
    y[1] += p * difference;
    y[2] += p * p * sum;
    y[3] += p * p * p * difference;
  }
  for (int i = 0; i < kTile; i++) to[i * to_step] = y[i];
}

}  // namespace

template <class T>
void Winograd<T>::allocate(Arena& arena, int threads, int height, int width) {
  height_ = height;
  width_ = width;
  tiles_x_ = (width + kTile - 1) / kTile;
  tiles_ = tiles_x_ * ((height + kTile - 1) / kTile);
  const int points = (w_.kernel + kTile - 1) * (w_.kernel + kTile - 1);
  kernels_ = arena.array<T>(size_t(points) * w_.inputs * w_.width);
  constexpr int L = kLanes<T>;
  scratch_size_ = (size_t(points) * tiles_ * (w_.inputs + kTileVectors * L) + L - 1) / L * L;
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
void Winograd<T>::convolve(const T* x, int x_row, T* z, int z_row, const Worker& worker) const {
  T* const scratch = scratch_ + worker.index * scratch_size_;
  w_.kernel == 5 ? convolve_image<5>(x, x_row, z, z_row, scratch) : convolve_image<3>(x, x_row, z, z_row, scratch);
}

// From w.by_output to [channel tile][point][input][channels of the tile].
template <class T>
template <int K>
void Winograd<T>::pack_kernels(Range channel_tiles) {
  using V = Vec<T>;
  constexpr int L = kLanes<T>, N = kSide<K>;
  for (int tile = channel_tiles.begin; tile < channel_tiles.end; tile++) {
    const int first = tile * kTileVectors * L, lanes = std::min(kTileVectors * L, w_.width - first);
    const T* const from = w_.by_output + w_.tile_start(first);
    T* const to = kernels_ + size_t(first) * N * N * w_.inputs;
    for (int i = 0; i < w_.inputs; i++)
      for (int q = 0; q < lanes; q += L) {
        V g[K * K], half[N * K], u[N * N];
        for (int k = 0; k < K * K; k++) g[k] = load(from + (k * w_.inputs + i) * lanes + q);
        for (int x = 0; x < K; x++) transform_kernel<T, K>(g + x, K, half + x, K);
        for (int y = 0; y < N; y++) transform_kernel<T, K>(half + y * K, 1, u + y * N, 1);
        for (int k = 0; k < N * N; k++) store(to + (k * w_.inputs + i) * lanes + q, u[k]);
      }
  }
}

template <class T>
template <int K>
void Winograd<T>::convolve_image(const T* x, int x_row, T* z, int z_row, T* scratch) const {
  constexpr int L = kLanes<T>, N = kSide<K>;
  T *const inputs = scratch, *const products = scratch + size_t(N) * N * tiles_ * w_.inputs;
  for (int tile = 0; tile < tiles_; tile++) transform_tile<K>(tile, x, x_row, inputs);
  for (int channel = 0; channel < w_.width;)
    channel += L * with_power_of_two<kTileVectors>((w_.width - channel) / L, [&](auto q) {
      constexpr int kPositions = tile_positions(q);
      const int part = even_part(tiles_, kPositions);
      const T* const kernels = kernels_ + size_t(channel) * N * N * w_.inputs;
      for (int point = 0; point < N * N; point++)
        for (int p = 0; p < tiles_; p += part)
          with_constant<kPositions>(tiles_ - p < part ? tiles_ - p : part, [&](auto size) {
            multiply<size, q>(inputs + (size_t(point) * tiles_ + p) * w_.inputs,
                              kernels + size_t(point) * w_.inputs * q * L,
                              products + (size_t(point) * tiles_ + p) * q * L);
          });
      for (int tile = 0; tile < tiles_; tile++)
        for (int v = 0; v < q; v++)
          transform_back<K>(tile, products + (tile * q + v) * L, tiles_ * q * L, channel + v * L, z, z_row);
    });
}

// Writes a tile of inputs to [point][tile][input]. Pixels beyond the image are zero: no output that is kept needs them.
template <class T>
template <int K>
void Winograd<T>::transform_tile(int tile, const T* x, int x_row, T* to) const {
  using V = Vec<T>;
  constexpr int L = kLanes<T>, N = kSide<K>;
  const int inputs = w_.inputs, top = tile / tiles_x_ * kTile, left = tile % tiles_x_ * kTile;
  const int rows = height_ + K - 1 - top, columns = width_ + K - 1 - left;
  const T* const corner = x + top * x_row + left * inputs;
  for (int c = 0; c < inputs; c += L) {
    const int at = std::min(c, inputs - L);  // the last vectors overlap the ones before
    V d[N * N], half[N * N];
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++)
        d[i * N + j] = i < rows && j < columns ? load(corner + i * x_row + j * inputs + at) : V{};
    for (int j = 0; j < N; j++) transform_inputs<T, K>(d + j, N, half + j, N);
    for (int i = 0; i < N; i++) transform_inputs<T, K>(half + i * N, 1, d + i * N, 1);
    for (int k = 0; k < N * N; k++) store(to + (size_t(k) * tiles_ + tile) * inputs + at, d[k]);
  }
}

// products[p][channels of the tile] = sum over inputs of x[p][input] * kernels[input], for P tiles and Q vectors.
template <class T>
template <int P, int Q>
void Winograd<T>::multiply(const T* x, const T* kernels, T* products) const {
  using V = Vec<T>;
  constexpr int L = kLanes<T>;
  V sum[P][Q] = {};
  const int inputs = w_.inputs;
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

// One vector of channels of a tile of outputs, from products `step` apart.
template <class T>
template <int K>
void Winograd<T>::transform_back(int tile, const T* products, int step, int channel, T* z, int z_row) const {
  using V = Vec<T>;
  constexpr int N = kSide<K>;
  const int top = tile / tiles_x_ * kTile, left = tile % tiles_x_ * kTile;
  V m[N * N], half[kTile * N], y[kTile * kTile];
  for (int k = 0; k < N * N; k++) m[k] = load(products + k * step);
  for (int j = 0; j < N; j++) transform_outputs<T, K>(m + j, N, half + j, N);
  for (int i = 0; i < kTile; i++) transform_outputs<T, K>(half + i * N, 1, y + i * kTile, 1);
  const V bias = load(w_.bias.value + channel);
  const int rows = std::min(kTile, height_ - top), columns = std::min(kTile, width_ - left);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++)
      store(z + (top + i) * z_row + (left + j) * w_.width + channel, y[i * kTile + j] + bias);
}

template class Winograd<float>;
template class Winograd<double>;

}  // namespace lenet
