// All memory of a call in one piece, zeroed, each array at a multiple of 64 bytes. Nothing is allocated after it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace lenet {

// Used twice: layers ask for their arrays of an arena that only counts, then of one that has the memory.
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
    next_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(here);
  }

  size_t size() const { return next_; }

 private:
  static constexpr size_t kAlignment = 64;
  char* base_ = nullptr;
  size_t next_ = 0;
};

}  // namespace lenet
