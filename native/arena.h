// The memory of one call: a single zeroed allocation, in which every array starts at a multiple of 64 bytes. A training
// step allocates nothing. Under AddressSanitizer the gaps between arrays are poisoned, so that it reports overruns.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__linux__)
#include <sys/mman.h>
#endif

namespace lenet {

// Layers request their arrays twice: from a default-constructed arena, which only counts bytes and returns null, then
// from one with memory. Throws std::bad_alloc.
class Arena {
 public:
  Arena() = default;
  explicit Arena(size_t bytes) : mapped_(bytes + kAlignment), base_(zeroed(mapped_)) {
    if (!base_) throw std::bad_alloc();
    next_ = (reinterpret_cast<size_t>(base_) + kAlignment - 1) / kAlignment * kAlignment - reinterpret_cast<size_t>(base_);
  }
  ~Arena() { release(base_, mapped_); }
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
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
  // Large arenas ask for huge pages. With pages of 4 KiB, half of the time of a deep network's calls went into page
  // faults, and 10 to 20% of what was left into translations of addresses.
  static constexpr size_t kHuge = size_t{2} << 20;
  static char* zeroed(size_t bytes) {
    if (bytes < 2 * kHuge) return static_cast<char*>(std::calloc(1, bytes));
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    madvise(memory, bytes, MADV_HUGEPAGE);
    return static_cast<char*>(memory);
  }
  static void release(char* memory, size_t bytes) {
    if (bytes < 2 * kHuge)
      std::free(memory);
    else if (memory)
      munmap(memory, bytes);
  }
#else
  static char* zeroed(size_t bytes) { return static_cast<char*>(std::calloc(1, bytes)); }
  static void release(char* memory, size_t) { std::free(memory); }
#endif

  static constexpr size_t kAlignment = 64;
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kGap = 64;
#else
  static constexpr size_t kGap = 0;
#endif
  size_t mapped_ = 0;
  char* base_ = nullptr;
  size_t next_ = 0;
};

}  // namespace lenet
