// Cross-entropy of the logits with label smoothing and optional soft targets, as torch.nn.CrossEntropyLoss.
#pragma once

#include <cstdint>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "schedule.h"

namespace lenet {

template <class T>
class Loss {
 public:
  Loss(const LenetCall& call, Blob<T>& logits) : call_(call), logits_(logits) {}

  void allocate(Arena& arena, int most_images);

  // Adds a phase that computes each image's loss, whether its prediction is correct, and the gradient of the mean loss.
  void forward(Schedule& schedule);

  // The batch's summed loss and number of correct predictions, after that phase.
  double sum(int images) const;
  int correct(int images) const;

 private:
  void image(const Step& step, int n);

  const LenetCall& call_;
  Blob<T>& logits_;
  T* targets_ = nullptr;     // [images][classes, padded]: target probabilities
  double* losses_ = nullptr;  // [images]
  uint8_t* right_ = nullptr;  // [images]
};

}  // namespace lenet
