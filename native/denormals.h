// While a DenormalsAreZero object exists, its thread treats denormal numbers (below 1e-38 in float) as zero.
//
// Where a gradient stays zero, Adam's running means decay to denormal numbers, with which processors compute many times
// more slowly. They are too small to change a weight.
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
