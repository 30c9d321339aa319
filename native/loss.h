// Cross-entropy of the logits with label smoothing, class weights and optional soft targets, as
// torch.nn.CrossEntropyLoss: the target, after smoothing, is multiplied by the class weights. The mean over the batch is
// over the weights of its labels, with soft targets too, where PyTorch divides by the number of images.
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

  // The batch's mean loss times its number of images, and number of correct predictions, after that phase.
  double sum(int images) const;
  int correct(int images) const;

 private:
  // The sum that the mean over the batch divides by; the number of images without class weights.
  double divisor(const Step& step) const;
  void image(const Step& step, int n, double divisor);

  const LenetCall& call_;
  Blob<T>& logits_;
  T* targets_ = nullptr;     // [images][classes, padded]: target probabilities times weights
  double* losses_ = nullptr;  // [images]
  uint8_t* right_ = nullptr;  // [images]
};

}  // namespace lenet
