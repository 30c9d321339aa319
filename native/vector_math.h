// exp, tanh and square root of vectors, accurate to the last bit or two of the scalar type. Results do not depend on
// the C library.
#pragma once

#include <cstdint>

#include "vector.h"

namespace lenet {

template <class T>
struct Constants;

template <>
struct Constants<float> {
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr float kRounder = 12582912.0f;                           // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // kLn2High has 9 bits: n * it is exact
  static constexpr float kLeast = -87.0f, kMost = 88.0f, kTanhOne = 9.5f;
  static constexpr int kTerms = 7;
  static constexpr int32_t kRootGuess = 0x5F3759DF;  // minus half the bits of x: an estimate of 1 / sqrt(x)
  static constexpr int kRootSteps = 1;
};

template <>
struct Constants<double> {
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kLn2High = 0.693145751953125, kLn2Low = 1.42860682030941723212e-6;
  static constexpr double kLeast = -708.0, kMost = 709.0, kTanhOne = 20.0;
  static constexpr int kTerms = 13;
  static constexpr int64_t kRootGuess = 0x5FE6EB50C7B537A9;
  static constexpr int kRootSteps = 3;
};

// 2^n and e^r - 1, where x = n ln 2 + r and |r| <= ln 2 / 2, so that exp(x) = 2^n + 2^n (e^r - 1).
template <class T>
inline void split_exp(Vec<T> x, Vec<T>& power, Vec<T>& rest) {
  using C = Constants<T>;
  typedef typename SameSize<T>::type Bits __attribute__((vector_size(kVectorBytes)));
  const Vec<T> shifted = x * T(1.4426950408889634) + C::kRounder;
  const Vec<T> n = shifted - C::kRounder;
  const Vec<T> r = (x - n * C::kLn2High) - n * C::kLn2Low;
  // On this range so few terms of the Taylor series give the last bit or two.
  Vec<T> series = broadcast(T(1));
  for (int k = C::kTerms; k >= 2; k--) series = series * r * T(1.0 / k) + T(1);
  rest = series * r;
  // The low bits of `shifted` are n in two's complement.
  power = (Vec<T>)(((Bits)shifted + C::kBias) << C::kMantissaBits);
}

template <class T>
inline Vec<T> exp(Vec<T> x) {
  using C = Constants<T>;
  const Vec<T> clamped = x < C::kLeast ? broadcast(C::kLeast) : (x > C::kMost ? broadcast(C::kMost) : x);
  Vec<T> power, rest;
  split_exp<T>(clamped, power, rest);
  return power + power * rest;
}

// (e^2x - 1) / (e^2x + 1), with e^2x - 1 computed without cancellation, so that small x keep their precision.
template <class T>
inline Vec<T> tanh(Vec<T> x) {
  using C = Constants<T>;
  const Vec<T> clamped = x < -C::kTanhOne ? broadcast(-C::kTanhOne) : (x > C::kTanhOne ? broadcast(C::kTanhOne) : x);
  Vec<T> power, rest;
  split_exp<T>(clamped + clamped, power, rest);
  const Vec<T> minus_one = power * rest + (power - T(1));
  return minus_one / (minus_one + T(2));
}

// The square root of x >= 0 by multiplications only: the processor's slow divider stays free for Adam's division. The
// estimate g of 1 / sqrt(x) has a relative error of at most 3.5%, so |t| <= 7% with t = x g^2 - 1, and it is corrected
// by 1 / sqrt(1 + t), as the minimax polynomial of degree 4 (error 2.3e-8).
template <class T>
inline Vec<T> square_root(Vec<T> x) {
  using C = Constants<T>;
  typedef typename SameSize<T>::type Bits __attribute__((vector_size(kVectorBytes)));
  Vec<T> inverse = (Vec<T>)(C::kRootGuess - ((Bits)x >> 1));
  const auto corrected = [](Vec<T> value, Vec<T> t) {
    const Vec<T> series = T(-0.49999832) + t * (T(0.37500059) + t * (T(-0.31393924) + t * T(0.2740688)));
    return value + value * t * series;
  };
  for (int i = 1; i < C::kRootSteps; i++) inverse = corrected(inverse, x * inverse * inverse - T(1));
  const Vec<T> root = x * inverse;
  return corrected(root, root * inverse - T(1));
}

}  // namespace lenet
