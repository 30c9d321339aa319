// A pass over the network as a list of phases, and how the team works through it.
//
// A phase is split in one of two ways, and its bits depend on neither the split nor the number of threads:
//   images:  by slices of the batch, fixed by its size. Neighbouring phases run slice by slice, while it is in L1.
//   columns: by columns (features, channels, rows of weights), each of which sees the whole batch. They are cut into
//            parts fixed by their number, and neighbouring phases that are cut alike run part by part.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "team.h"
#include "vector.h"

namespace lenet {

struct Step {
  int images;     // of this batch
  int64_t begin;  // its first position in the epoch's order
  int64_t number; // counted from 0 within the call
  double learning_rate;
};

// At most kMostSlices slices of at least kLeastSlice images each: sums over a batch are sums of its slices' sums.
constexpr int kLeastSlice = 2, kMostSlices = 16;

inline int slice_size(int images) {
  const int size = (images + kMostSlices - 1) / kMostSlices;
  return size < kLeastSlice ? kLeastSlice : size;
}
inline int slice_count(int images) { return (images + slice_size(images) - 1) / slice_size(images); }

struct Slice {
  int index;
  Range images;
};

inline Slice slice_at(int index, int images) {
  const int size = slice_size(images), begin = index * size;
  return {index, {begin, begin + size < images ? begin + size : images}};
}

// How columns are cut: a thread does one part or several neighbours, so that sums over columns may be by part.
struct Split {
  int count;
  int unit;   // parts begin at multiples of it: a vector's lanes
  int parts;

  // Parts of 24 features at least: what a smaller one computes is not worth its sums.
  template <class T>
  static Split features(int count) {
    int parts = 1;
    while (parts < 8 && count >= 48 * parts) parts *= 2;
    return {count, kLanes<T>, parts};
  }
  static Split singly(int count) { return {count, 1, count}; }

  int edge(int part) const {
    const int units = (count + unit - 1) / unit, column = units * part / parts * unit;
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

  // What follows needs all that came before, from every worker.
  void barrier() { phases_.push_back({}); }

  bool empty() const { return phases_.empty(); }

  // Once all phases are in: neighbours that are split alike make one stage.
  void make_stages() {
    for (size_t i = 0; i < phases_.size();) {
      size_t end = i + 1;
      while (end < phases_.size() && split_alike(phases_[i], phases_[end])) end++;
      if (phases_[i].images || phases_[i].columns) stages_.push_back({i, end});
      i = end;
    }
  }

  int stages() const { return int(stages_.size()); }

  // How many pieces a stage has: slices of the batch, or shares of the columns' parts.
  int pieces(int stage, const Step& step, int members) const {
    const Phase& phase = phases_[stages_[stage].begin];
    if (phase.images) return slice_count(step.images);
    const int most = members < kMostPieces ? members : kMostPieces;
    return phase.split.parts < most ? phase.split.parts : most;
  }

  void work(int stage, int piece, const Step& step, const Worker& worker) const {
    const auto [begin, end] = stages_[stage];
    const Phase& first = phases_[begin];
    if (first.images) {
      for (size_t p = begin; p < end; p++) phases_[p].images(step, slice_at(piece, step.images), worker);
      return;
    }
    const int shares = pieces(stage, step, worker.members);
    const auto edge = [&](int share) { return first.split.edge(first.split.parts * share / shares); };
    for (size_t p = begin; p < end; p++) phases_[p].columns(step, {edge(piece), edge(piece + 1)}, worker);
  }

 private:
  struct Phase {
    Images images;
    Columns columns;
    Split split = {};
  };
  struct Stage {
    size_t begin, end;  // of its phases
  };

  static bool split_alike(const Phase& a, const Phase& b) {
    return (a.images && b.images) || (a.columns && b.columns && a.split == b.split);
  }

  std::vector<Phase> phases_;
  std::vector<Stage> stages_;
};

}  // namespace lenet
