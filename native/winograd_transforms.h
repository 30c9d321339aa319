// The transforms of Winograd's algorithm, a vector of channels at a time. M outputs are correlations of N = M + K - 1
// inputs with K values of a kernel. In one dimension, N points 0, p, -p, ... and infinity turn a correlation into products
// of polynomials' values. Points of both signs share their even and odd parts.
#pragma once

#include "vector.h"

namespace lenet {

// A transform is one piece of code, lambdas included: with loops and calls in it, it takes 1.8 times as long.
#define LENET_INLINE __attribute__((always_inline))
#define LENET_UNROLL _Pragma("GCC unroll 8")

// The transforms' constants. Row k of the input's transform has, for the points +-point[k], the even part `even[k]` and
// the odd part +-odd[k]; for 0 and infinity it has `ends`. zero, scale: factors of the kernel's values.
template <int N>
struct WinogradPoints;

template <>
struct WinogradPoints<8> {
  static constexpr int pairs = 3;
  static constexpr double point[] = {1, 2, 0.5}, zero = -1, scale[] = {-2.0 / 9, 1.0 / 90, 32.0 / 45};
  static constexpr double ends[] = {-1, 5.25, -5.25, 1};
  static constexpr double even[][3] = {{1, -4.25, 1}, {0.25, -1.25, 1}, {4, -5, 1}};
  static constexpr double odd[][3] = {{1, -4.25, 1}, {0.5, -2.5, 2}, {2, -2.5, 0.5}};
};

template <>
struct WinogradPoints<6> {
  static constexpr int pairs = 2;
  static constexpr double point[] = {1, 2}, zero = 0.25, scale[] = {-1.0 / 6, 1.0 / 24};
  static constexpr double ends[] = {4, -5, 1};
  static constexpr double even[][2] = {{-4, 1}, {-1, 1}};
  static constexpr double odd[][2] = {{-4, 1}, {-2, 2}};
};

// The one-dimensional transforms; the steps are distances of neighbouring values.

template <class T, int N>
struct OfInputs {
  static constexpr int from = N, to = N;
  static LENET_INLINE inline void apply(const Vec<T>* d, int d_step, Vec<T>* to, int to_step) {
    using V = Vec<T>;
    using Points = WinogradPoints<N>;
    constexpr int P = Points::pairs;
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
};

template <class T, int N, int K>
struct OfKernel {
  static constexpr int from = K, to = N;
  static LENET_INLINE inline void apply(const Vec<T>* g, int g_step, Vec<T>* to, int to_step) {
    using V = Vec<T>;
    using Points = WinogradPoints<N>;
    constexpr int last_even = (K - 1) / 2 * 2, last_odd = (K - 2) / 2 * 2 + 1;
    to[0] = T(Points::zero) * g[0];
    to[(N - 1) * to_step] = g[(K - 1) * g_step];
    for (int k = 0; k < Points::pairs; k++) {
      const T p = T(Points::point[k]), scale = T(Points::scale[k]);
      V even = g[last_even * g_step], odd = g[last_odd * g_step];  // Horner's rule in p * p
      for (int j = last_even - 2; j >= 0; j -= 2) even = even * (p * p) + g[j * g_step];
      for (int j = last_odd - 2; j >= 0; j -= 2) odd = odd * (p * p) + g[j * g_step];
      even *= scale;
      odd *= scale * p;
      to[(2 * k + 1) * to_step] = even + odd;
      to[(2 * k + 2) * to_step] = even - odd;
    }
  }
};

template <class T, int N, int M>
struct OfOutputs {
  static constexpr int from = N, to = M;
  static LENET_INLINE inline void apply(const Vec<T>* m, int m_step, Vec<T>* to, int to_step) {
    using V = Vec<T>;
    using Points = WinogradPoints<N>;
    V y[M] = {};
    y[0] = m[0];
    y[M - 1] = m[(N - 1) * m_step];
    for (int k = 0; k < Points::pairs; k++) {
      const T p = T(Points::point[k]);
      const V plus = m[(2 * k + 1) * m_step], minus = m[(2 * k + 2) * m_step];
      const V sum = plus + minus, difference = plus - minus;
      T power = 1;  // of p
      for (int i = 0; i < M; i++, power *= p) y[i] += power * (i & 1 ? difference : sum);
    }
    for (int i = 0; i < M; i++) to[i * to_step] = y[i];
  }
};

// Both dimensions: from value(row, column) of [from][from] to result(row, column, value) of [to][to]. Values are read by
// columns and results written by rows, for all of them do not fit into the registers.
template <class Transform, class V, class Value, class Result>
LENET_INLINE inline void transform(const Value& value, const Result& result) {
  constexpr int From = Transform::from, To = Transform::to;
  V half[To * From];
  LENET_UNROLL for (int x = 0; x < From; x++) {
    V column[From];
    LENET_UNROLL for (int y = 0; y < From; y++) column[y] = value(y, x);
    Transform::apply(column, 1, half + x, From);
  }
  LENET_UNROLL for (int y = 0; y < To; y++) {
    V row[To];
    Transform::apply(half + y * From, 1, row, 1);
    LENET_UNROLL for (int x = 0; x < To; x++) result(y, x, row[x]);
  }
}

}  // namespace lenet
