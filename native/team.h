// The threads of one call. They live as long as it, and meet at a barrier that spins briefly, then yields.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace lenet {

class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}

  void wait() {
    if (members_ == 1) return;
    const int round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == members_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; round_.load(std::memory_order_acquire) == round; spins++) {
      if (spins < kSpins)
        pause();
      else
        std::this_thread::yield();  // more threads than cores: let the one we wait for run
    }
  }

 private:
  static constexpr int kSpins = 4000;  // some tens of microseconds, longer than any step's imbalance

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  const int members_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> round_{0};
};

// A half-open range of anything countable.
struct Range {
  int begin, end;
};

// One thread's view of the team.
class Worker {
 public:
  Worker(int index, int members, Barrier& barrier) : index(index), members(members), barrier_(barrier) {}

  void wait() { barrier_.wait(); }

  // This worker's share of `count` things, cut at multiples of `unit`.
  Range share(int count, int unit) const {
    const int units = (count + unit - 1) / unit;
    const int begin = units * index / members * unit, end = units * (index + 1) / members * unit;
    return {begin < count ? begin : count, end < count ? end : count};
  }

  const int index, members;

 private:
  Barrier& barrier_;
};

// Runs `work` on each of `members` workers at once, the caller's own thread among them.
template <class Work>
void run_team(int members, Work work) {
  Barrier barrier(members);
  std::vector<std::thread> others;
  for (int i = 1; i < members; i++)
    others.emplace_back([&, i] {
      Worker worker(i, members, barrier);
      work(worker);
    });
  Worker self(0, members, barrier);
  work(self);
  for (auto& thread : others) thread.join();
}

}  // namespace lenet
