// While a DenormalsAreZero lives, its thread takes numbers below the least normal one (1e-38 in float) for zero.
//
// Adam's means of gradients that have ceased shrink until they are so small, and processors compute with such numbers
// many times slower. What they would add to a weight is nothing: they are far below its last digit.
#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace lenet {

class DenormalsAreZero {
 public:
#if defined(__SSE__)
  DenormalsAreZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kResults | kOperands); }
  ~DenormalsAreZero() { _mm_setcsr(before_); }

 private:
  static constexpr unsigned kResults = 0x8000, kOperands = 0x0040;
  const unsigned before_;
#else
  DenormalsAreZero() {}
#endif
 public:
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;
};

}  // namespace lenet
