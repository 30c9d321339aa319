// Vectors as wide as the instruction set level, by the compiler's own vector types: + - * / < ?: work lane by lane.
#pragma once

#include <cstdint>
#include <cstring>

namespace lenet {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kRegisters = 32;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kRegisters = 16;
#else
constexpr int kVectorBytes = 16;
constexpr int kRegisters = 16;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T anywhere __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
using Vec = typename VectorOf<T>::type;

template <class T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));

template <class T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::anywhere*>(p);
}

template <class T>
inline void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VectorOf<T>::anywhere*>(p) = v;
}

// The first n lanes alone: what lies behind them may be another thread's, or a border that must stay zero.
template <class T>
inline void store_first(T* p, Vec<T> v, int n) {
  if (n >= kLanes<T>) {
    store(p, v);
  } else {
    alignas(kVectorBytes) T lanes[kLanes<T>];
    store(lanes, v);
    for (int i = 0; i < n; i++) p[i] = lanes[i];
  }
}

// x - 0 is x for every x, minus zero and NaN too, so this is a bare broadcast.
template <class T>
inline Vec<T> broadcast(T x) {
  return x - Vec<T>{};
}

template <class T>
inline Vec<T> maximum(Vec<T> a, Vec<T> b) {
  return a > b ? a : b;
}

template <class T>
inline T sum_of_lanes(Vec<T> v) {
  T lanes[kLanes<T>];
  store(lanes, v);
  for (int half = kLanes<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

constexpr int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

template <class T>
constexpr int padded(int n) {
  return round_up(n, kLanes<T>);
}

}  // namespace lenet
