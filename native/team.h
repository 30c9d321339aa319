// The threads of one call and the distribution of work among them.
//
// Work comes in consecutive stages, each cut into pieces. A worker first takes the pieces assigned to it by number,
// whose memory is in its cache, then any that no worker has started. A stage therefore waits for a thread that the
// operating system has suspended only if that thread is in the middle of a piece: on a busy machine several threads are
// about as fast as one, where a barrier would be many times slower.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "denormals.h"

namespace lenet {

// [begin, end)
struct Range {
  int begin, end;
  int size() const { return end - begin; }
};

// One of `threads` threads; `index` selects its scratch memory.
struct Worker {
  int index, threads;
};

constexpr int kMostPieces = 128;

// The current stage, and which of its pieces have been taken and finished.
class Board {
 public:
  static constexpr int64_t kOver = -1;

  // The stage and its number of pieces in one number; kOver after the last stage.
  int64_t now() const { return now_.load(std::memory_order_acquire); }
  static int64_t stage_of(int64_t now) { return now >> 8; }
  static int pieces_of(int64_t now) { return int(now & 255); }

  void begin(int64_t stage, int pieces) {
    left_.store(pieces, std::memory_order_relaxed);
    now_.store(pieces ? stage << 8 | pieces : kOver, std::memory_order_release);
  }

  // Whether the caller may work on the piece. For a stage that is over it returns false.
  bool take(int64_t stage, int piece) {
    std::atomic<int64_t>& last = taken_[piece].stage;
    int64_t before = last.load(std::memory_order_relaxed);
    return before < stage && last.compare_exchange_strong(before, stage, std::memory_order_acq_rel);
  }

  // Whether this was the last unfinished piece of the stage.
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
  static constexpr int kSpins = 4000;  // tens of microseconds: longer than workers usually wait for each other

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

// Runs stages 0, 1, 2, ... on up to `threads` threads, including the caller's; throws std::bad_alloc. pieces(stage):
// the stage's number of pieces, at most kMostPieces, or 0 after the last stage; called once per stage, by one thread,
// when the previous stage is done. work(stage, piece, worker) processes one piece.
template <class Pieces, class Work>
void run_team(int threads, const Pieces& pieces, const Work& work) {
  if (threads == 1) {
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
    const Worker self = {index, threads};
    const auto try_piece = [&](int64_t stage, int piece) {
      if (!board->take(stage, piece)) return;
      work(stage, piece, self);
      if (board->finish_piece()) board->begin(stage + 1, pieces(stage + 1));
    };
    for (int64_t now; (now = board->now()) != Board::kOver;) {
      const int64_t stage = Board::stage_of(now);
      const int count = Board::pieces_of(now);
      for (int piece = index; piece < count; piece += threads) try_piece(stage, piece);
      for (int piece = 0; piece < count; piece++) try_piece(stage, piece);
      board->wait_until_not(now);
    }
  };
  std::vector<std::thread> others;
  others.reserve(size_t(threads - 1));  // growing it could throw while threads are running
  try {
    for (int i = 1; i < threads; i++) others.emplace_back(follow, i);
  } catch (const std::exception&) {
    // No more threads can be created. Those that exist process all pieces, with identical results.
  }
  follow(0);
  for (auto& thread : others) thread.join();
}

}  // namespace lenet
