// A pass over the network as a list of phases, each split among threads in one of two ways:
//   images:  by slices of the batch, which depend only on the batch's size.
//   columns: by columns (features, channels or rows of weights), each over the whole batch. Columns are cut into parts
//            that depend only on their number.
// Consecutive phases with the same split form a stage: a slice or part runs through all of them while it is in the L1
// cache. Results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "team.h"
#include "vector.h"

namespace lenet {

struct Step {
  int images;      // batch size
  int64_t begin;   // the batch's first position in the epoch's order
  int64_t number;  // from 0 within the call
  double learning_rate;
};

// At most kMostSlices slices of at least kLeastSlice images each. A sum over a batch is the sum of its slices' sums.
constexpr int kLeastSlice = 2, kMostSlices = 16;

inline int slice_size(int images) {
  const int size = (images + kMostSlices - 1) / kMostSlices;
  return size < kLeastSlice ? kLeastSlice : size;
}
inline int slice_count(int images) { return (images + slice_size(images) - 1) / slice_size(images); }

struct Slice {
  int index;
  Range images;

  // Calls work(first image, number of images) for groups of at most `most` images.
  template <class Work>
  void in_groups(int most, Work work) const {
    for (int n = images.begin; n < images.end; n += most) work(n, n + most < images.end ? most : images.end - n);
  }
};

// Blobs that live within one stage have memory for one slice per worker. Where in it this thread's slice is: image n
// is at n + slice_memory. Schedule sets it before each slice, so that layers need not tell such blobs from others.
inline thread_local int slice_memory = 0;

inline Slice slice_at(int index, int images) {
  const int size = slice_size(images), begin = index * size;
  return {index, {begin, begin + size < images ? begin + size : images}};
}

// How columns are cut into parts. A thread processes one part or several consecutive ones, so a sum over columns can be
// the sum of the parts' sums.
struct Split {
  int count;
  int unit;   // parts begin at multiples of it
  int parts;

  // Parts of at least 24 features: the sums of smaller parts would cost more than splitting gains.
  template <class T>
  static Split features(int count) {
    int parts = 1;
    while (parts < 8 && count >= 48 * parts) parts *= 2;
    return {count, kLanes<T>, parts};
  }
  static Split singly(int count) { return {count, 1, count}; }

  int edge(int part) const {
    const int units = (count + unit - 1) / unit, column = int(int64_t(units) * part / parts) * unit;
    return column < count ? column : count;
  }
  bool operator==(const Split& other) const {
    return count == other.count && unit == other.unit && parts == other.parts;
  }
};

class Schedule {
 public:
  using Images = std::function<void(const Step&, const Slice&, const Worker&)>;
  using Columns = std::function<void(const Step&, Range columns, const Worker&)>;

  void images(Images phase) { phases_.push_back({std::move(phase), nullptr, {}}); }

  void columns(const Split& split, Columns phase) { phases_.push_back({nullptr, std::move(phase), split}); }

  // Ends a stage: the following phases need the results of all workers.
  void barrier() { phases_.push_back({}); }

  bool empty() const { return phases_.empty(); }

  // Groups phases into stages. Call it after all phases have been added.
  void make_stages() {
    for (size_t i = 0; i < phases_.size();) {
      size_t end = i + 1;
      while (end < phases_.size() && split_alike(phases_[i], phases_[end])) end++;
      if (phases_[i].images || phases_[i].columns) stages_.push_back({i, end});
      i = end;
    }
  }

  int stages() const { return int(stages_.size()); }

  // Number of pieces of a stage: the batch's slices, or groups of the columns' parts.
  int pieces(int stage, const Step& step, int threads) const {
    const Phase& phase = phases_[stages_[stage].begin];
    if (phase.images) return slice_count(step.images);
    const int most = threads < kMostPieces ? threads : kMostPieces;
    return phase.split.parts < most ? phase.split.parts : most;
  }

  void work(int stage, int piece, const Step& step, const Worker& worker) const {
    const auto [begin, end] = stages_[stage];
    const Phase& first = phases_[begin];
    if (first.images) {
      const Slice slice = slice_at(piece, step.images);
      slice_memory = worker.index * slice_size(step.images) - slice.images.begin;
      for (size_t p = begin; p < end; p++) phases_[p].images(step, slice, worker);
      return;
    }
    const int groups = pieces(stage, step, worker.threads);
    const auto edge = [&](int group) { return first.split.edge(first.split.parts * group / groups); };
    for (size_t p = begin; p < end; p++) phases_[p].columns(step, {edge(piece), edge(piece + 1)}, worker);
  }

 private:
  struct Phase {
    Images images;
    Columns columns;
    Split split = {};
  };
  struct Stage {
    size_t begin, end;  // its phases
  };

  static bool split_alike(const Phase& a, const Phase& b) {
    return (a.images && b.images) || (a.columns && b.columns && a.split == b.split);
  }

  std::vector<Phase> phases_;
  std::vector<Stage> stages_;
};

}  // namespace lenet
