// The threads of one call, and how they share its work out.
//
// Work comes in stages, one after the other, each cut into pieces that any thread may do. A worker does the pieces that
// are its own by number (its cache knows their memory), then takes those that nobody has begun. So no stage waits for a
// thread that the system is not running, unless that happens in the middle of a piece: on a busy machine a team is as
// fast as one thread, where a barrier of all threads would be many times slower.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "denormals.h"

namespace lenet {

// A half-open range of anything countable.
struct Range {
  int begin, end;
};

// One thread of a team, for memory that is its own.
struct Worker {
  int index, members;
};

constexpr int kMostPieces = 128;

// Where the team stands: the stage, its pieces, and who has begun which.
class Board {
 public:
  static constexpr int64_t kOver = -1;

  // The stage and how many pieces it has, in one number; kOver after the last.
  int64_t now() const { return now_.load(std::memory_order_acquire); }
  static int64_t stage_of(int64_t now) { return now >> 8; }
  static int pieces_of(int64_t now) { return int(now & 255); }

  void begin(int64_t stage, int pieces) {
    left_.store(pieces, std::memory_order_relaxed);
    now_.store(pieces ? stage << 8 | pieces : kOver, std::memory_order_release);
  }

  // Whether the caller is the one to do it. A worker that slept through some stages finds its old one's pieces taken.
  bool take(int64_t stage, int piece) {
    std::atomic<int64_t>& last = taken_[piece].stage;
    int64_t before = last.load(std::memory_order_relaxed);
    return before < stage && last.compare_exchange_strong(before, stage, std::memory_order_acq_rel);
  }

  // Whether it was the stage's last piece to be finished.
  bool finish_piece() { return left_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  void wait_until_not(int64_t seen) const {
    for (int spins = 0; now() == seen; spins++) {
      if (spins < kSpins)
        pause();
      else
        std::this_thread::yield();
    }
  }

 private:
  static constexpr int kSpins = 4000;  // some tens of microseconds, longer than any stage's imbalance

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  struct alignas(64) Taken {
    std::atomic<int64_t> stage{-1};
  };
  alignas(64) std::atomic<int64_t> now_{kOver};
  alignas(64) std::atomic<int> left_{0};
  Taken taken_[kMostPieces];
};

// Runs stages 0, 1, 2, ... on `members` threads, the caller's own among them.
// pieces(stage): how many it has, at most kMostPieces, and 0 after the last stage. Called once for each, by one thread,
// when the stage before is done. work(stage, piece, worker) does one.
template <class Pieces, class Work>
void run_team(int members, const Pieces& pieces, const Work& work) {
  if (members == 1) {
    const DenormalsAreZero here;
    const Worker self = {0, 1};
    for (int64_t stage = 0; const int count = pieces(stage); stage++)
      for (int piece = 0; piece < count; piece++) work(stage, piece, self);
    return;
  }
  const auto board = std::make_unique<Board>();
  board->begin(0, pieces(0));
  const auto follow = [&](int index) {
    const DenormalsAreZero here;
    const Worker self = {index, members};
    const auto try_piece = [&](int64_t stage, int piece) {
      if (!board->take(stage, piece)) return;
      work(stage, piece, self);
      if (board->finish_piece()) board->begin(stage + 1, pieces(stage + 1));
    };
    for (int64_t now; (now = board->now()) != Board::kOver;) {
      const int64_t stage = Board::stage_of(now);
      const int count = Board::pieces_of(now);
      for (int piece = index; piece < count; piece += members) try_piece(stage, piece);
      for (int piece = 0; piece < count; piece++) try_piece(stage, piece);
      board->wait_until_not(now);
    }
  };
  std::vector<std::thread> others;
  try {
    for (int i = 1; i < members; i++) others.emplace_back(follow, i);
  } catch (const std::system_error&) {
    // The system gives no more threads: those that there are take every piece, and the bits are the same.
  }
  follow(0);
  for (auto& thread : others) thread.join();
}

}  // namespace lenet
