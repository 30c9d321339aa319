// exp and tanh, ours so that their bits do not depend on the C library, in vectors, to the scalar type's own accuracy.
#pragma once

#include "vector.h"

namespace lenet {

template <class T>
struct Constants;

template <>
struct Constants<float> {
  using Bits = int32_t;
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr float kRounder = 12582912.0f;                           // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // the high part has 9 bits: n * it is exact
  static constexpr float kLeast = -87.0f, kMost = 88.0f, kTanhOne = 9.5f;
  static constexpr int kTerms = 7;
};

template <>
struct Constants<double> {
  using Bits = int64_t;
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double kLn2High = 0.693145751953125, kLn2Low = 1.42860682030941723212e-6;
  static constexpr double kLeast = -708.0, kMost = 709.0, kTanhOne = 20.0;
  static constexpr int kTerms = 13;
};

// 2^n and e^r - 1, where x = n ln 2 + r and |r| <= ln 2 / 2, so that exp(x) = 2^n + 2^n (e^r - 1).
template <class T>
inline void split_exp(Vec<T> x, Vec<T>& power, Vec<T>& rest) {
  using C = Constants<T>;
  typedef typename C::Bits Bits __attribute__((vector_size(kVectorBytes)));
  const Vec<T> shifted = x * T(1.4426950408889634) + C::kRounder;
  const Vec<T> n = shifted - C::kRounder;
  const Vec<T> r = (x - n * C::kLn2High) - n * C::kLn2Low;
  // The Taylor series is short enough on this range, and correct to the last bit or two.
  Vec<T> series = broadcast(T(1));
  for (int k = C::kTerms; k >= 2; k--) series = series * r * T(1.0 / k) + T(1);
  rest = series * r;
  // The rounded number's low bits hold n in two's complement.
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

// (e^2x - 1) / (e^2x + 1), with e^2x - 1 computed as such: small x keep their digits.
template <class T>
inline Vec<T> tanh(Vec<T> x) {
  using C = Constants<T>;
  const Vec<T> clamped = x < -C::kTanhOne ? broadcast(-C::kTanhOne) : (x > C::kTanhOne ? broadcast(C::kTanhOne) : x);
  Vec<T> power, rest;
  split_exp<T>(clamped + clamped, power, rest);
  const Vec<T> minus_one = power * rest + (power - T(1));
  return minus_one / (minus_one + T(2));
}

}  // namespace lenet
