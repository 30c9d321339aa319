// Parameters and running statistics of a batch norm layer, and its scale and shift once the batch's mean and variance
// are known. ConvBlock, MapNorm and BatchNorm use it. The first two go over maps image by image: each image leaves its
// measures, each slice its sums of gradients, and these are combined by channel.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

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

  // Memory for use_measures and use_gradients.
  void allocate_measures(Arena& arena, int images) {
    width_ = padded<T>(spec_.outputs);
    for (T** array : {&means_, &squares_}) *array = arena.array<T>(size_t(images) * width_);
    for (T** array : {&dweights_, &dbiases_}) *array = arena.array<T>(size_t(kMostSlices) * width_);
    for (T** array : {&by_x, &constant}) *array = arena.array<T>(width_);
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
  void unpack(Map map, int64_t steps) const {
    weight_.save(spec_.weight, map, steps);
    bias_.save(spec_.bias, map, steps);
    *spec_.batches_tracked += steps;
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

  // An image's mean and its sum of squared deviations from it.
  T* image_mean(int n) const { return means_ + size_t(n) * width_; }
  T* image_squares(int n) const { return squares_ + size_t(n) * width_; }

  // use_batch, from the measures of all images, of `values` values per channel each; without loss of precision.
  void use_measures(Range channels, int images, int values) {
    for (int c = channels.begin; c < channels.end; c++) {
      T middle = 0, deviations = 0;
      for (int n = 0; n < images; n++) middle += image_mean(n)[c];
      middle /= T(images);
      for (int n = 0; n < images; n++) {
        const T away = image_mean(n)[c] - middle;
        deviations += image_squares(n)[c] + T(values) * away * away;
      }
      mean[c] = middle;
      inverse[c] = deviations;
    }
    use_batch(channels, int64_t(images) * values);
  }

  // A slice's sums of dy, and of dy times x's deviation from `mean`.
  T* slice_dbias(int slice) const { return dbiases_ + size_t(slice) * width_; }
  T* slice_dweight(int slice) const { return dweights_ + size_t(slice) * width_; }
  void clear_slice(int slice) const {
    std::memset(slice_dbias(slice), 0, size_t(width_) * sizeof(T));
    std::memset(slice_dweight(slice), 0, size_t(width_) * sizeof(T));
  }

  // Sets dweight, dbias, by_x and constant from the sums of all slices. The input's gradient is scale * (dy - mean(dy) -
  // normal * mean(dy * normal)) with normal = (x - mean) * inverse, multiplied out. values: per channel and image.
  void use_gradients(Range channels, const Step& step, int values) {
    const T all = T(int64_t(step.images) * values);
    for (int c = channels.begin; c < channels.end; c++) {
      T weight = 0, bias = 0;
      for (int s = 0; s < slice_count(step.images); s++) {
        weight += slice_dweight(s)[c];
        bias += slice_dbias(s)[c];
      }
      dweight[c] = weight * inverse[c];
      dbias[c] = bias;
      by_x[c] = -scale[c] * inverse[c] * dweight[c] / all;
      constant[c] = -scale[c] * bias / all - by_x[c] * mean[c];
    }
  }

  // Updates weight and bias by the gradients in `dweight` and `dbias`.
  void update(const Optimizer<T>& optimizer, const Step& step, Range channels) {
    const int begin = channels.begin, count = channels.end - begin;
    optimizer.update(weight_, optimizer.rates(weight_, step), begin, count, dweight + begin);
    optimizer.update(bias_, optimizer.rates(bias_, step), begin, count, dbias + begin);
  }

  // Each [channels, padded].
  T *mean = nullptr, *inverse = nullptr;  // inverse: 1 / sqrt(variance + eps)
  T *scale = nullptr, *shift = nullptr;   // y = scale * x + shift
  T *dweight = nullptr, *dbias = nullptr;
  T *by_x = nullptr, *constant = nullptr;  // dx = scale * dy + by_x * x + constant

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
  int width_ = 0;                              // channels, padded to vectors
  T *means_ = nullptr, *squares_ = nullptr;    // [images][width]
  T *dweights_ = nullptr, *dbiases_ = nullptr;  // [slices][width]
};

}  // namespace lenet
