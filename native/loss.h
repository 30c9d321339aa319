// Cross-entropy over the logits, with label smoothing or soft targets, by the formulas of torch.nn.CrossEntropyLoss.
#pragma once

#include "layer.h"

namespace lenet {

template <class T>
class Loss {
 public:
  Loss(const LenetCall& call, Blob<T>& logits) : call_(call), logits_(logits) {}

  void allocate(Arena& arena, int most_images);

  // Each image's loss, whether it was right, and the gradient of the batch's mean loss.
  void forward(Schedule& schedule);

  // The batch's sums. Every worker asks for itself, and gets the same.
  double sum(int images) const;
  int correct(int images) const;

 private:
  void image(const Step& step, int n);

  const LenetCall& call_;
  Blob<T>& logits_;
  T* targets_ = nullptr;     // [images][classes]: what the softmax should be
  double* losses_ = nullptr;  // [images]
  uint8_t* right_ = nullptr;  // [images]
};

}  // namespace lenet
