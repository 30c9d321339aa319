// The memory of one call: a single zeroed allocation, in which every array starts at a multiple of 64 bytes. A training
// step allocates nothing. Under AddressSanitizer the gaps between arrays are poisoned, so that it reports overruns.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace lenet {

// Layers request their arrays twice: from a default-constructed arena, which only counts bytes and returns null, then
// from one with memory. Throws std::bad_alloc.
class Arena {
 public:
  Arena() = default;
  explicit Arena(size_t bytes) : base_(static_cast<char*>(std::calloc(1, bytes + kAlignment))) {
    if (!base_) throw std::bad_alloc();
    next_ = (reinterpret_cast<size_t>(base_) + kAlignment - 1) / kAlignment * kAlignment - reinterpret_cast<size_t>(base_);
  }
  ~Arena() { std::free(base_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  template <class T>
  T* array(size_t count) {
    char* const here = base_ ? base_ + next_ : nullptr;
    const size_t bytes = count * sizeof(T), room = (bytes + kGap + kAlignment - 1) / kAlignment * kAlignment;
    next_ += room;
#if defined(__SANITIZE_ADDRESS__)
    if (base_) ASAN_POISON_MEMORY_REGION(here + bytes, room - bytes);
#endif
    return reinterpret_cast<T*>(here);
  }

  size_t size() const { return next_; }

 private:
  static constexpr size_t kAlignment = 64;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kGap = 64;
#else
  static constexpr size_t kGap = 0;
#endif
  char* base_ = nullptr;
  size_t next_ = 0;
};

}  // namespace lenet
