// A network: built from the caller's layers, then trained for the plan's steps or evaluated, any number of times.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "input.h"
#include "layer.h"
#include "loss.h"
#include "schedule.h"

namespace lenet {

template <class T>
class Fork;

template <class T>
class Network {
 public:
  // most_images: size of the largest batch. Throws std::bad_alloc.
  Network(const LenetCall& call, bool training, int most_images);

  LenetMetrics train();  // changes the caller's parameters, statistics and optimizer state
  // Writes [images, classes] for the images that `call` names now.
  void logits(float* to);

 private:
  void build();
  int block_at(int i, BlockSpec& block) const;
  const LenetLayer* activation_at(int i) const;
  void add(LayerPointer<T> layer, Blob<T> out);
  void add_branch(int i, Blob<T>& in, Blob<T> out);
  void find_passing();
  void allocate(Arena& arena);

  Context<T> context_;
  std::deque<Blob<T>> blobs_;  // the input, then each layer's output; a deque, since layers keep pointers to them
  std::vector<LayerPointer<T>> layers_;
  std::unique_ptr<Input<T>> input_;
  std::unique_ptr<Loss<T>> loss_;
  std::unique_ptr<Arena> arena_;
  Fork<T>* fork_ = nullptr;  // of the last residual block
  Blob<T>* body_ = nullptr;  // its body's output
  Schedule forward_, backward_;
};

}  // namespace lenet
