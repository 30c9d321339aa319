// Vectors as wide as the instruction set level allows, as GCC's and Clang's vector types: + - * / < ?: work lane by
// lane.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace lenet {

#if defined(__AVX512F__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// An unaligned 64-byte vector always crosses a cache line. Where most loads are unaligned, 32 bytes are faster.
constexpr int kShortBytes = kVectorBytes < 32 ? kVectorBytes : 32;

template <class T, int Bytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Bytes)));
  typedef T anywhere __attribute__((vector_size(Bytes), aligned(alignof(T)), may_alias));
};

// The signed integer of a scalar's size, which comparisons of vectors give.
template <class T>
struct SameSize;
template <>
struct SameSize<float> {
  using type = int32_t;
};
template <>
struct SameSize<double> {
  using type = int64_t;
};

template <class T, int Bytes = kVectorBytes>
using Vec = typename VectorOf<T, Bytes>::type;

template <class T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));
template <class T>
constexpr int kShortLanes = kShortBytes / int(sizeof(T));

template <int Bytes = kVectorBytes, class T>
inline Vec<T, Bytes> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T, Bytes>::anywhere*>(p);
}

template <int Bytes = kVectorBytes, class T>
inline void store(T* p, Vec<T, Bytes> v) {
  *reinterpret_cast<typename VectorOf<T, Bytes>::anywhere*>(p) = v;
}

// load_lanes and store_lanes: the first n lanes, with 0 < n < kLanes<T>; the other lanes are loaded as zero, and memory
// after the first is not touched. By masks, since compilers make calls of memcpy of the portable loops.
#if defined(__AVX512F__)
inline Vec<float> load_lanes(const float* p, int n) { return (Vec<float>)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p); }
inline Vec<double> load_lanes(const double* p, int n) { return (Vec<double>)_mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p); }
inline void store_lanes(float* p, Vec<float> v, int n) { _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v); }
inline void store_lanes(double* p, Vec<double> v, int n) { _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), (__m512d)v); }
#elif defined(__AVX2__)
inline __m256i float_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256i double_lanes(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
inline Vec<float> load_lanes(const float* p, int n) { return (Vec<float>)_mm256_maskload_ps(p, float_lanes(n)); }
inline Vec<double> load_lanes(const double* p, int n) { return (Vec<double>)_mm256_maskload_pd(p, double_lanes(n)); }
inline void store_lanes(float* p, Vec<float> v, int n) { _mm256_maskstore_ps(p, float_lanes(n), (__m256)v); }
inline void store_lanes(double* p, Vec<double> v, int n) { _mm256_maskstore_pd(p, double_lanes(n), (__m256d)v); }
#else
template <class T>
inline Vec<T> load_lanes(const T* p, int n) {
  Vec<T> lanes = {};
  for (int i = 0; i < n; i++) lanes[i] = p[i];
  return lanes;
}
template <class T>
inline void store_lanes(T* p, Vec<T> v, int n) {
  for (int i = 0; i < n; i++) p[i] = v[i];
}
#endif

// Loads only the first n lanes; the others are zero. For the end of an array.
template <class T>
inline Vec<T> load_first(const T* p, int n) {
  return n >= kLanes<T> ? load(p) : load_lanes(p, n);
}

// Stores only the first n lanes: the memory after them may belong to another thread, or be a border that must stay
// zero.
template <class T>
inline void store_first(T* p, Vec<T> v, int n) {
  if (n >= kLanes<T>)
    store(p, v);
  else
    store_lanes(p, v, n);
}

// x - 0 is x for every x, including minus zero and NaN, so compilers make this a plain broadcast.
template <int Bytes = kVectorBytes, class T>
inline Vec<T, Bytes> broadcast(T x) {
  return x - Vec<T, Bytes>{};
}

template <class T>
inline T sum_of_lanes(Vec<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int half = kLanes<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

// Lane i of the result is lane i of a, or of b if i has the bit `Half`. crossed: from lane i ^ Half instead.
template <class T, int Half>
inline Vec<T> halves(Vec<T> a, Vec<T> b, bool crossed) {
  typedef typename SameSize<T>::type Index __attribute__((vector_size(kVectorBytes)));
  Index straight, cross;
  for (int i = 0; i < kLanes<T>; i++) {
    straight[i] = i & Half ? kLanes<T> + i : i;
    cross[i] = i & Half ? kLanes<T> + i - Half : i + Half;
  }
#if defined(__clang__)
  Vec<T> result;
  for (int i = 0; i < kLanes<T>; i++) {
    const int from = int(crossed ? cross[i] : straight[i]);
    result[i] = from < kLanes<T> ? a[from] : b[from - kLanes<T>];
  }
  return result;
#else
  return crossed ? __builtin_shuffle(a, b, cross) : __builtin_shuffle(a, b, straight);
#endif
}

// Lane i of the result is the sum of the lanes of v[i], for as many vectors as lanes. Each level of recursion halves
// the number of vectors. Overwrites v.
template <class T, int Half = kLanes<T> / 2>
inline Vec<T> sums_of_lanes(Vec<T>* v) {
  for (int i = 0; i < Half; i++) v[i] = halves<T, Half>(v[i], v[i + Half], false) + halves<T, Half>(v[i], v[i + Half], true);
  if constexpr (Half > 1) return sums_of_lanes<T, Half / 2>(v);
  return v[0];
}

// Whether x is not +0, by its bits, which costs no floating-point comparison.
template <class T>
inline bool has_bits(T x) {
  typename SameSize<T>::type bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits != 0;
}

// Calls use(std::integral_constant<int, N>) with N = count, for 1 <= count <= Most: values stay in registers only if
// their number is a compile-time constant.
template <int Most, class Use>
inline void with_constant(int count, Use use) {
  if constexpr (Most > 1) {
    if (count < Most) return with_constant<Most - 1>(count, use);
  }
  use(std::integral_constant<int, Most>());
}

// Calls use(std::integral_constant<int, N>) with the largest N of Most, Most / 2, ... 1 that is at most `left`, and
// returns N. For tiles where code for every size from 1 to Most would be too large.
template <int Most, class Use>
inline int with_power_of_two(int left, Use use) {
  if constexpr (Most > 1) {
    if (left < Most) return with_power_of_two<Most / 2>(left, use);
  }
  use(std::integral_constant<int, Most>());
  return Most;
}

// The size of all parts but the last if `count` is cut into as few parts of at most `most` as possible, of equal size.
constexpr int even_part(int count, int most) {
  const int parts = (count + most - 1) / most;
  return (count + parts - 1) / parts;
}

// Number of positions (or channels) in a tile with `vectors` vectors of each: all sums stay in registers.
constexpr int tile_positions(int vectors) {
  constexpr int kSums = kRegisters == 32 ? 24 : 12;
  return vectors == 1 ? kSums / 2 : kSums / vectors;
}

constexpr int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

template <class T>
constexpr int padded(int n) {
  return round_up(n, kLanes<T>);
}

}  // namespace lenet
