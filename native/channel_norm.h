// Parameters and running statistics of a batch norm layer, and its scale and shift once the batch's mean and variance
// are known. BatchNorm and ConvBlock use it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "api.h"
#include "arena.h"
#include "layer.h"
#include "optimizer.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

template <class T>
class ChannelNorm {
 public:
  explicit ChannelNorm(const LenetLayer& spec) : spec_(spec) {}

  void allocate(Arena& arena, const Context<T>& context, bool trained) {
    const int count = padded<T>(spec_.outputs);
    weight_.allocate(arena, count, context.optimizer, trained);
    bias_.allocate(arena, count, context.optimizer, trained);
    for (T** array : {&running_mean_, &running_variance_, &mean, &inverse, &scale, &shift, &dweight, &dbias})
      *array = arena.array<T>(count);
  }

  template <class Map>
  void pack(Map map) {
    weight_.load(spec_.weight, map);
    bias_.load(spec_.bias, map);
    const T* const their_mean = static_cast<const T*>(spec_.mean);
    const T* const their_variance = static_cast<const T*>(spec_.variance);
    map([&](size_t theirs, size_t ours) {
      running_mean_[ours] = their_mean[theirs];
      running_variance_[ours] = their_variance[theirs];
    });
  }

  template <class Map>
  void unpack(Map map) const {
    weight_.save(spec_.weight, map);
    bias_.save(spec_.bias, map);
    T* const their_mean = static_cast<T*>(spec_.mean);
    T* const their_variance = static_cast<T*>(spec_.variance);
    map([&](size_t theirs, size_t ours) {
      their_mean[theirs] = running_mean_[ours];
      their_variance[theirs] = running_variance_[ours];
    });
  }

  // Sets mean, inverse, scale and shift from the running statistics (eval mode).
  void use_running(Range channels) {
    for (int c = channels.begin; c < channels.end; c++) {
      mean[c] = running_mean_[c];
      inverse[c] = 1 / std::sqrt(running_variance_[c] + T(spec_.eps));
    }
    use(channels);
  }

  // Sets inverse, scale and shift from the batch and updates the running statistics. Before the call `mean` holds the
  // batch's mean and `inverse` the sum of squared deviations from it, over `values` values per channel.
  void use_batch(Range channels, int64_t values) {
    const T momentum = T(spec_.momentum);
    for (int c = channels.begin; c < channels.end; c++) {
      running_mean_[c] += momentum * (mean[c] - running_mean_[c]);
      running_variance_[c] += momentum * (inverse[c] / T(values - 1) - running_variance_[c]);
      inverse[c] = 1 / std::sqrt(inverse[c] / T(values) + T(spec_.eps));
    }
    use(channels);
  }

  // Updates weight and bias by the gradients in `dweight` and `dbias`.
  void update(const Optimizer<T>& optimizer, const Step& step, Range channels) {
    const int begin = channels.begin, count = channels.end - begin;
    optimizer.update(weight_, optimizer.rates(weight_, step.learning_rate), begin, count, dweight + begin);
    optimizer.update(bias_, optimizer.rates(bias_, step.learning_rate), begin, count, dbias + begin);
  }

  void count_step() {
    weight_.steps++;
    bias_.steps++;
    ++*spec_.batches_tracked;
  }

  // Each [channels, padded].
  T *mean = nullptr, *inverse = nullptr;  // inverse: 1 / sqrt(variance + eps)
  T *scale = nullptr, *shift = nullptr;   // y = scale * x + shift
  T *dweight = nullptr, *dbias = nullptr;

 private:
  void use(Range channels) {
    for (int c = channels.begin; c < channels.end; c++) {
      scale[c] = weight_.value[c] * inverse[c];
      shift[c] = bias_.value[c] - mean[c] * scale[c];
    }
  }

  const LenetLayer& spec_;
  Parameter<T> weight_, bias_;
  T *running_mean_ = nullptr, *running_variance_ = nullptr;
};

}  // namespace lenet
