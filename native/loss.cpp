#include "loss.h"

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "team.h"
#include "vector.h"
#include "vector_math.h"

namespace lenet {

template <class T>
static int argmax(const T* values, int count) {
  int best = 0;
  for (int i = 1; i < count; i++)
    if (values[i] > values[best]) best = i;
  return best;
}

template <class T>
void Loss<T>::allocate(Arena& arena, int most_images) {
  targets_ = arena.array<T>(size_t(most_images) * padded<T>(call_.classes));
  losses_ = arena.array<double>(most_images);
  right_ = arena.array<uint8_t>(most_images);
}

template <class T>
void Loss<T>::forward(Schedule& schedule) {
  schedule.images([this](const Step& step, const Slice& slice, const Worker&) {
    const double total = divisor(step);  // in each slice, which costs less than a barrier between slices
    for (int n = slice.images.begin; n < slice.images.end; n++) image(step, n, total);
  });
}

template <class T>
double Loss<T>::divisor(const Step& step) const {
  if (!call_.class_weights) return step.images;
  double sum = 0;
  for (int n = 0; n < step.images; n++) sum += call_.class_weights[call_.labels[call_.order[step.begin + n]]];
  return sum;
}

template <class T>
void Loss<T>::image(const Step& step, int n, double divisor) {
  const int classes = call_.classes;
  const T* const z = logits_.image(n);
  T* const dz = logits_.image_gradient(n);
  T* const target = targets_ + size_t(n) * padded<T>(classes);

  const T smooth = T(call_.label_smoothing), keep = 1 - smooth, everywhere = smooth / T(classes);
  const int64_t position = step.begin + n;
  const int label = int(call_.labels[call_.order[position]]);
  if (call_.soft_targets) {
    const float* const soft = call_.soft_targets + position * classes;
    for (int i = 0; i < classes; i++) target[i] = T(soft[i]) * keep + everywhere;
  } else {
    for (int i = 0; i < classes; i++) target[i] = everywhere;
    target[label] += keep;
  }
  if (call_.class_weights)
    for (int i = 0; i < classes; i++) target[i] *= T(call_.class_weights[i]);

  const int top = argmax(z, classes);
  right_[n] = top == label;
  T all = 0;
  for (int i = 0; i < classes; i += kLanes<T>) {
    store_first(dz + i, exp<T>(load(z + i) - z[top]), classes - i);
    for (int k = i; k < classes && k < i + kLanes<T>; k++) all += dz[k];
  }
  const T log_all = std::log(all) + z[top];
  T loss = 0, target_sum = 0;
  for (int i = 0; i < classes; i++) {
    // As in PyTorch, a label ignores the logits of other classes, whose difference may be infinite.
    if (target[i] != 0) loss += target[i] * (log_all - z[i]);
    target_sum += target[i];
  }
  losses_[n] = double(loss) * (step.images / divisor);
  const T share = T(1) / T(divisor);
  for (int i = 0; i < classes; i++) dz[i] = (dz[i] / all * target_sum - target[i]) * share;
}

template <class T>
double Loss<T>::sum(int images) const {
  double sum = 0;
  for (int n = 0; n < images; n++) sum += losses_[n];
  return sum;
}

template <class T>
int Loss<T>::correct(int images) const {
  int correct = 0;
  for (int n = 0; n < images; n++) correct += right_[n];
  return correct;
}

template class Loss<float>;
template class Loss<double>;

}  // namespace lenet
