// A pass over the network as a list of phases, and how the team works through it.
//
// A phase is split in one of two ways, and its bits depend on neither the split nor the number of threads:
//   images:  by slices of the batch, fixed by its size. Neighbouring phases run slice by slice, while it is in L1.
//   columns: by columns (features or channels), each of which sees the whole batch.
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
constexpr int kLeastSlice = 4, kMostSlices = 16;

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

class Schedule {
 public:
  using Images = std::function<void(const Step&, const Slice&, const Worker&)>;
  using Columns = std::function<void(const Step&, Range columns, const Worker&)>;

  void images(Images phase) { phases_.push_back({std::move(phase), nullptr, 0, 0}); }

  // `unit`: columns go to workers in groups of that many (a vector's lanes).
  void columns(int count, int unit, Columns phase) { phases_.push_back({nullptr, std::move(phase), count, unit}); }

  // What follows needs all that came before, from every worker.
  void barrier() { phases_.push_back({}); }

  void run(const Step& step, Worker& worker) const {
    for (size_t i = 0; i < phases_.size();) {
      size_t end = i;
      if (phases_[i].images) {
        while (end < phases_.size() && phases_[end].images) end++;
        for (int s = worker.index; s < slice_count(step.images); s += worker.members)
          for (size_t p = i; p < end; p++) phases_[p].images(step, slice_at(s, step.images), worker);
      } else if (phases_[i].columns) {
        const auto same_split = [&](const Phase& p) { return p.columns && p.count == phases_[i].count && p.unit == phases_[i].unit; };
        const Range share = worker.share(phases_[i].count, phases_[i].unit);
        for (; end < phases_.size() && same_split(phases_[end]); end++)
          if (share.begin < share.end) phases_[end].columns(step, share, worker);
      } else {
        i++;
        continue;
      }
      worker.wait();
      i = end;
    }
  }

 private:
  struct Phase {
    Images images;
    Columns columns;
    int count = 0, unit = 0;
  };
  std::vector<Phase> phases_;
};

}  // namespace lenet
