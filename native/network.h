// A network built of the caller's layers for one call: its memory, its passes, and the steps it takes.
#pragma once

#include <deque>
#include <vector>

#include "input.h"
#include "loss.h"

namespace lenet {

template <class T>
class Network {
 public:
  Network(const LenetCall& call, bool training, int most_images);

  LenetMetrics train();
  void logits();

 private:
  void build();
  int block_at(int i, BlockSpec& block) const;
  void add(LayerPointer<T> layer, Blob<T> out);
  void allocate(Arena& arena);

  Context<T> context_;
  std::deque<Blob<T>> blobs_;  // the input's, then each layer's; addresses stay
  std::vector<LayerPointer<T>> layers_;
  std::unique_ptr<Input<T>> input_;
  std::unique_ptr<Loss<T>> loss_;
  std::unique_ptr<Arena> arena_;
  Schedule forward_, backward_;
};

}  // namespace lenet
