// A network of a design, with weights, statistics and optimizer state in heap blocks of their own.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "../api.h"
#include "design.h"

namespace {

// Random numbers that are the same on every platform, unlike the standard library's distributions.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed) {}
  uint32_t below(uint32_t end) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return uint32_t((state_ >> 32) * end >> 32);
  }
  double uniform() { return below(1u << 30) / double(1 << 30); }  // in [0, 1)

 private:
  uint64_t state_;
};

template <class T>
struct Tensor {
  int layer;
  bool weight, trained;
  std::vector<T> value, first, second;
};

// A network with its optimizer state. Networks of the same design start with the same values.
template <class T>
class Model {
 public:
  Model(const Design& design, bool has_first, bool has_second) : design(design) {
    Noise noise(11);
    int height = design.height, width = design.width, channels = design.channels;
    std::array<int, 3> block = {};  // the input's size of the residual block at hand
    for (const LayerDesign& from : design.layers) {
      const int index = int(layers.size());
      LenetLayer layer = {};
      layer.kind = from.kind;
      layer.index = layer.number = index;
      const bool pool = from.kind == kMaxPool || from.kind == kAveragePool, usual = pool && !from.kernel;
      layer.kernel = usual ? 2 : from.kernel;
      layer.stride_y = usual ? 2 : from.stride_y;
      layer.stride_x = usual ? 2 : from.stride_x;
      layer.pad_y = from.pad_y;
      layer.pad_x = from.pad_x;
      layer.groups = from.groups;
      layer.p = from.p;
      layer.slope = 0.1;
      layer.eps = 1e-5;
      layer.momentum = 0.1;
      layer.inputs = layer.outputs = channels;
      const auto parameter = [&](int count, bool weight, double low, double high) {
        tensors.push_back({index, weight, index >= design.frozen, numbers(noise, count, low, high), {}, {}});
        Tensor<T>& tensor = tensors.back();
        if (has_first && tensor.trained) tensor.first.resize(count);
        if (has_second && tensor.trained) tensor.second.resize(count);
        steps.push_back(std::vector<float>(1));
        return LenetParameter{tensor.value.data(), tensor.first.data(), tensor.second.data(), steps.back().data()};
      };
      const auto statistics = [&](double low, double high) {
        others.push_back(numbers(noise, channels, low, high));
        return others.back().data();
      };
      if (from.kind == kConv || from.kind == kLinear) {
        const int fan = channels / from.groups * (from.kernel ? from.kernel * from.kernel : 1);
        const double bound = std::sqrt(3.0 / fan);
        channels = layer.outputs = from.outputs;
        layer.weight = parameter(fan * channels, true, -bound, bound);
        layer.bias = parameter(channels, false, -0.1, 0.1);
      } else if (from.kind == kBatchNorm) {
        layer.weight = parameter(channels, true, 0.5, 1.5);
        layer.bias = parameter(channels, false, -0.2, 0.2);
        layer.mean = statistics(-0.1, 0.1);
        layer.variance = statistics(0.5, 1.5);
        tracked.push_back(std::vector<int64_t>(1));
        layer.batches_tracked = tracked.back().data();
      } else if (from.kind == kNormalize) {
        layer.mean = statistics(0.4, 0.5);
        layer.variance = statistics(0.2, 0.3);
      } else if (from.kind == kBody) {
        block = {height, width, channels};
      } else if (from.kind == kShortcut && design.layers[index + 1].kind != kAdd) {
        height = block[0];
        width = block[1];
        channels = block[2];
      } else if (from.kind == kGlobalAveragePool) {
        height = width = 1;
      } else if (from.kind == kFlatten) {
        channels *= height * width;
        height = width = 1;
      }
      if (layer.kernel) {
        height = (height + 2 * layer.pad_y - layer.kernel) / layer.stride_y + 1;
        width = (width + 2 * layer.pad_x - layer.kernel) / layer.stride_x + 1;
      }
      layers.push_back(layer);
    }
  }

  bool same_bits(const Model& other) const {
    bool same = steps == other.steps && tracked == other.tracked;
    for (size_t i = 0; i < tensors.size(); i++)
      same = same && equal(tensors[i].value, other.tensors[i].value) && equal(tensors[i].first, other.tensors[i].first) &&
             equal(tensors[i].second, other.tensors[i].second);
    for (size_t i = 0; i < others.size(); i++) same = same && equal(others[i], other.others[i]);
    return same;
  }

  bool has(LenetKind kind) const {
    return std::any_of(layers.begin(), layers.end(), [&](const LenetLayer& layer) { return layer.kind == kind; });
  }

  const Design& design;
  std::vector<LenetLayer> layers;  // point into the deques below, whose elements do not move
  std::deque<Tensor<T>> tensors;
  std::deque<std::vector<T>> others;  // statistics
  std::deque<std::vector<float>> steps;
  std::deque<std::vector<int64_t>> tracked;

 private:
  static std::vector<T> numbers(Noise& noise, int count, double low, double high) {
    std::vector<T> values(count);
    for (T& value : values) value = T(low + (high - low) * noise.uniform());
    return values;
  }
  static bool equal(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
  }
};

}  // namespace
