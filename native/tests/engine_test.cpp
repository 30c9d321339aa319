// Tests of the engine without Python, for the sanitizers (native/sanitize.sh). Trains small networks with every kind of
// layer on random images in float and double, checks that results are bit-identical on any number of threads, and
// compares gradients with finite differences of the loss. Every array is its own heap block of exactly its size, so
// that the sanitizers detect overruns.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <limits>
#include <string>
#include <vector>

#include "../api.h"

namespace {

int passed = 0, failed = 0;

void check(bool right, const std::string& what) {
  ++(right ? passed : failed);
  if (!right) std::printf("FAILED: %s\n", what.c_str());
}

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

// ---- Networks. Input sizes follow from the previous layer.

struct LayerDesign {
  LenetKind kind;
  int outputs = 0, kernel = 0, pad_y = 0, pad_x = 0;
  double p = 0;
  int stride_y = 1, stride_x = 1;
};

struct Design {
  const char* name;
  int height, width, channels, classes;
  int frozen;   // number of first layers that are not trained
  bool pixels;  // if false, the input is `channels` features
  std::vector<LayerDesign> layers;
};

const std::vector<Design> kDesigns = {
    {"lenet", 20, 20, 3, 10, 0, true,
     {{kNormalize}, {kConv, 6, 5}, {kRelu}, {kMaxPool}, {kConv, 16, 5}, {kRelu}, {kMaxPool}, {kFlatten},
      {kLinear, 40}, {kRelu}, {kLinear, 28}, {kRelu}, {kLinear, 10}}},
    {"batch norm and dropout", 19, 18, 3, 5, 0, true,
     {{kNormalize}, {kConv, 6, 5}, {kBatchNorm}, {kRelu}, {kMaxPool}, {kDropout, 0, 0, 0, 0, 0.2},
      {kConv, 9, 3}, {kBatchNorm}, {kTanh}, {kMaxPool}, {kFlatten},
      {kLinear, 21}, {kBatchNorm}, {kRelu}, {kDropout, 0, 0, 0, 0, 0.4}, {kLinear, 5}}},
    {"tanh and average pool", 18, 18, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 5}, {kTanh}, {kAveragePool}, {kConv, 12, 5}, {kTanh}, {kAveragePool}, {kFlatten},
      {kLinear, 17}, {kTanh}, {kLinear, 4}}},
    {"batch norm and average pool", 16, 17, 1, 4, 0, true,
     {{kNormalize}, {kConv, 4, 5, 2, 2}, {kBatchNorm}, {kTanh}, {kAveragePool}, {kConv, 20, 3}, {kBatchNorm}, {kRelu},
      {kAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"odd sizes", 17, 19, 1, 3, 0, true,
     {{kNormalize}, {kConv, 5, 3, 1, 1}, {kRelu}, {kMaxPool}, {kConv, 7, 3, 1, 1}, {kRelu}, {kMaxPool}, {kFlatten},
      {kLinear, 13}, {kRelu}, {kLinear, 3}}},
    {"more channels than the sparse gradients take at once", 16, 17, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3}, {kTanh}, {kMaxPool}, {kConv, 45, 3, 1, 1}, {kTanh}, {kMaxPool}, {kFlatten},
      {kLinear, 4}}},
    {"no block", 12, 15, 3, 6, 0, true,
     {{kNormalize}, {kConv, 5, 3, 0, 1}, {kTanh}, {kDropout, 0, 0, 0, 0, 0.3}, {kConv, 7, 3, 1, 0}, {kMaxPool},
      {kBatchNorm}, {kConv, 34, 3, 1, 1}, {kRelu}, {kBatchNorm}, {kAveragePool}, {kFlatten}, {kDropout, 0, 0, 0, 0, 0.1},
      {kBatchNorm}, {kLinear, 6}}},
    {"leaky ReLU and global pool", 13, 11, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3}, {kLeakyRelu}, {kMaxPool}, {kConv, 18, 3, 1, 1}, {kBatchNorm}, {kLeakyRelu},
      {kGlobalAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"Winograd 5x5", 21, 18, 3, 4, 0, true,
     {{kNormalize}, {kConv, 18, 3}, {kTanh}, {kMaxPool}, {kConv, 21, 5, 2, 2}, {kTanh}, {kMaxPool}, {kFlatten},
      {kLinear, 4}}},
    {"Winograd 3x3", 14, 17, 3, 4, 0, true,
     {{kNormalize}, {kConv, 17, 3}, {kRelu}, {kMaxPool}, {kConv, 16, 3}, {kBatchNorm}, {kTanh}, {kAveragePool},
      {kConv, 35, 3, 1, 1}, {kTanh}, {kGlobalAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"strides and 1x1", 15, 18, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3, 1, 1, 0, 2, 2}, {kBatchNorm}, {kRelu}, {kConv, 19, 1}, {kTanh}, {kMaxPool},
      {kConv, 9, 1, 0, 1, 0, 2, 1}, {kConv, 5, 5, 2, 2, 0, 1, 2}, {kTanh}, {kConv, 20, 1, 1, 1}, {kFlatten},
      {kLinear, 4}}},
    {"pools that overlap", 13, 16, 3, 4, 0, true,
     {{kNormalize}, {kMaxPool, 0, 3, 1, 1, 0, 2, 2}, {kConv, 6, 3, 1, 1}, {kRelu}, {kAveragePool, 0, 3, 1, 0, 0, 1, 2},
      {kBatchNorm}, {kMaxPool, 0, 3}, {kFlatten}, {kLinear, 4}}},
    {"residual blocks", 12, 15, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3, 1, 1}, {kRelu},
      {kBody}, {kConv, 6, 3, 1, 1}, {kBatchNorm}, {kRelu}, {kConv, 6, 3, 1, 1}, {kShortcut}, {kAdd}, {kRelu},
      {kBody}, {kConv, 9, 3, 1, 1, 0, 2, 2}, {kBatchNorm}, {kTanh}, {kConv, 9, 3, 1, 1}, {kBatchNorm},
      {kShortcut}, {kConv, 9, 1, 0, 0, 0, 2, 2}, {kAdd},
      {kBody}, {kDropout, 0, 0, 0, 0, 0.2}, {kConv, 9, 3, 1, 1}, {kShortcut}, {kDropout, 0, 0, 0, 0, 0.2}, {kAdd},
      {kConv, 8, 3, 1, 1}, {kGlobalAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"residual blocks of pixels, ending in pools, frozen", 10, 12, 3, 4, 9, true,
     {{kNormalize}, {kBody}, {kConv, 3, 3, 1, 1}, {kShortcut}, {kAdd},
      {kBody}, {kBatchNorm}, {kShortcut}, {kAdd},
      {kBody}, {kConv, 18, 3, 1, 1}, {kRelu}, {kMaxPool}, {kShortcut}, {kMaxPool}, {kConv, 18, 3, 1, 1}, {kRelu}, {kAdd},
      {kMaxPool}, {kFlatten}, {kLinear, 4}}},
    {"Winograd and batch norm without a pool", 11, 14, 3, 4, 0, true,
     {{kNormalize}, {kConv, 17, 3, 1, 1}, {kBatchNorm}, {kRelu}, {kConv, 16, 3, 3, 0}, {kBatchNorm}, {kTanh},
      {kConv, 18, 5, 2, 1}, {kBatchNorm}, {kConv, 33, 3}, {kBatchNorm}, {kLeakyRelu}, {kGlobalAveragePool}, {kFlatten},
      {kLinear, 4}}},
    {"frozen prefix", 17, 16, 3, 5, 5, true,
     {{kNormalize}, {kConv, 6, 5}, {kBatchNorm}, {kRelu}, {kMaxPool}, {kConv, 8, 3}, {kBatchNorm}, {kRelu}, {kMaxPool},
      {kFlatten}, {kLinear, 15}, {kRelu}, {kLinear, 5}}},
    {"frozen to the middle of a block", 14, 14, 1, 5, 6, true,
     {{kNormalize}, {kConv, 6, 3}, {kRelu}, {kMaxPool}, {kDropout, 0, 0, 0, 0, 0.5}, {kConv, 8, 3}, {kBatchNorm}, {kRelu},
      {kMaxPool}, {kFlatten}, {kLinear, 5}}},
    {"only a linear layer is trained", 12, 12, 3, 67, 5, true,
     {{kNormalize}, {kConv, 3, 5}, {kTanh}, {kMaxPool}, {kFlatten}, {kLinear, 67}}},
    {"a head on features", 1, 1, 37, 7, 0, false,
     {{kLinear, 19}, {kBatchNorm}, {kRelu}, {kDropout, 0, 0, 0, 0, 0.3}, {kLinear, 7}}},
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
        const int fan = channels * (from.kernel ? from.kernel * from.kernel : 1);
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

// ---- Data and optimizers.

enum Augmentation { kNone, kFlipAndShift, kWarpColourAndBox };

struct Data {
  Data(const Design& design, int count, int batch, Augmentation augmentation)
      : labels(count), order(count), flips(count), shifts(2 * count), soft(size_t(count) * design.classes),
        class_weights(design.classes) {
    Noise noise(5);
    const size_t values = size_t(count) * design.height * design.width * design.channels;
    pixels.resize(design.pixels ? values : 0);
    features.resize(design.pixels ? 0 : values);
    for (uint8_t& pixel : pixels) pixel = uint8_t(noise.below(256));
    for (float& feature : features) feature = float(noise.uniform() * 4 - 2);
    for (int i = 0; i < count; i++) {
      labels[i] = noise.below(design.classes);
      order[i] = count - 1 - i;
      flips[i] = augmentation == kFlipAndShift ? uint8_t(noise.below(2)) : 0;
      for (int k = 0; k < 2; k++)
        shifts[2 * i + k] = augmentation == kFlipAndShift ? int8_t(int(noise.below(7)) - 3) : int8_t(0);
      if (augmentation == kWarpColourAndBox) augment(design, noise);
      soft[i * design.classes + noise.below(design.classes)] += 0.75f;
      soft[i * design.classes + noise.below(design.classes)] += 0.25f;
    }
    for (int begin = 0; begin < count; begin += batch) {
      steps.push_back(begin);
      steps.push_back(std::min(begin + batch, count));
    }
    for (auto* array : {&warps, &colours}) array->shrink_to_fit();
    boxes.shrink_to_fit();
    steps.shrink_to_fit();
    for (double& weight : class_weights) weight = 0.2 + 3 * noise.uniform();
  }

  // One more image is turned, scaled by up to two and moved by up to two image sizes; its colour changes in any way.
  void augment(const Design& design, Noise& noise) {
    const auto number = [&](int most) { return int32_t(noise.below(2 * uint32_t(most) + 1)) - most; };
    const int sides[2] = {design.height, design.width};
    for (int axis = 0; axis < 2; axis++) {
      for (int k = 0; k < 2; k++) warps.push_back(number(1 << 17));
      warps.push_back(number(sides[axis] << 17));
    }
    for (int k = 0; k < 3; k++) colours.push_back(number(k < 2 ? 1 << 14 : 1 << 21));
    int16_t first[2], last[2];
    for (int axis = 0; axis < 2; axis++) {
      first[axis] = int16_t(noise.below(uint32_t(sides[axis])));
      last[axis] = int16_t(first[axis] + noise.below(uint32_t(sides[axis] - first[axis] + 1)));
    }
    for (int16_t end : {first[0], first[1], last[0], last[1]}) boxes.push_back(end);
  }

  std::vector<uint8_t> pixels;
  std::vector<float> features;
  std::vector<int64_t> labels, order;
  std::vector<uint8_t> flips;
  std::vector<int8_t> shifts;
  std::vector<int32_t> warps, colours;
  std::vector<int16_t> boxes;
  std::vector<float> soft;
  std::vector<int64_t> steps;
  std::vector<double> class_weights;
};

struct Recipe {
  const char* name;
  LenetOptimizer optimizer;
  double rate, momentum;
  bool nesterov;
  double weight_decay;
  bool soft;
  double smoothing;
  bool weighted;  // by class

  bool has_first() const { return optimizer != kSgd || momentum != 0; }
};

const Recipe kNesterov = {"SGD, Nesterov", kSgd, 0.02, 0.9, true, 1e-3, false, 0, false};
const Recipe kMomentum = {"SGD, momentum, soft targets", kSgd, 0.02, 0.9, false, 0, true, 0.1, false};
const Recipe kAdamRecipe = {"Adam", kAdam, 0.004, 0, false, 1e-4, false, 0, false};
const Recipe kAdamWRecipe = {"AdamW, smoothing, class weights", kAdamW, 0.004, 0, false, 1e-2, false, 0.1, true};
const Recipe kPlain = {"SGD", kSgd, 1, 0, false, 0, false, 0.1, false};

template <class T>
LenetCall call_of(const Model<T>& model, const Data& data, int threads) {
  LenetCall call = {};
  call.is_double = sizeof(T) == sizeof(double);
  call.layer_count = int32_t(model.layers.size());
  call.layers = model.layers.data();
  call.frozen = model.design.frozen;
  call.threads = threads;
  call.pixels = model.design.pixels ? data.pixels.data() : nullptr;
  call.features = model.design.pixels ? nullptr : data.features.data();
  call.image_count = int64_t(data.order.size());
  call.height = model.design.height;
  call.width = model.design.width;
  call.channels = model.design.channels;
  call.classes = model.design.classes;
  return call;
}

// Trains steps [first, first + rates.size()).
template <class T>
LenetMetrics train(Model<T>& model, const Data& data, const Recipe& recipe, int threads, const std::vector<double>& rates,
                   int first = 0) {
  LenetCall call = call_of(model, data, threads);
  call.order = data.order.data();
  call.flips = data.flips.data();
  call.shifts = data.shifts.data();
  call.warps = data.warps.empty() ? nullptr : data.warps.data();
  call.colours = data.colours.empty() ? nullptr : data.colours.data();
  call.boxes = data.boxes.empty() ? nullptr : data.boxes.data();
  call.steps = data.steps.data() + 2 * first;
  call.learning_rates = rates.data();
  call.step_count = int64_t(rates.size());
  call.dropout_key = 0x0123456789ABCDEF;
  call.labels = recipe.soft ? nullptr : data.labels.data();
  call.soft_targets = recipe.soft ? data.soft.data() : nullptr;
  call.class_weights = recipe.weighted ? data.class_weights.data() : nullptr;
  call.optimizer = recipe.optimizer;
  call.momentum = recipe.momentum;
  call.nesterov = recipe.nesterov;
  call.beta1 = 0.9;
  call.beta2 = 0.999;
  call.eps = 1e-8;
  call.weight_decay = recipe.weight_decay;
  call.label_smoothing = recipe.smoothing;
  LenetMetrics metrics = {};
  check(lenet_train(&call, &metrics) == 0, "lenet_train returns 0");
  return metrics;
}

// The logits of all images in one call, after calls with the first few of them, whose results must be the same.
template <class T>
std::vector<float> logits(const Model<T>& model, const Data& data, int threads) {
  const Design& design = model.design;
  const LenetCall call = call_of(model, data, threads);
  LenetInference* const inference = lenet_open(&call);
  check(inference != nullptr, "lenet_open returns a network");
  const auto of_first = [&](size_t count) {
    std::vector<float> result(count * size_t(design.classes));
    const size_t values = count * size_t(design.height) * design.width * design.channels;
    // Their own heap block, so that the sanitizers detect overruns.
    const std::vector<uint8_t> pixels(data.pixels.begin(), data.pixels.begin() + (design.pixels ? values : 0));
    const std::vector<float> features(data.features.begin(), data.features.begin() + (design.pixels ? 0 : values));
    const void* const images = design.pixels ? static_cast<const void*>(pixels.data()) : features.data();
    check(lenet_infer(inference, images, int64_t(count), result.data()) == 0, "lenet_infer returns 0");
    return result;
  };
  const std::vector<float> few = of_first(3), none = of_first(0), one = of_first(1), all = of_first(data.order.size());
  lenet_close(inference);
  const auto begins = [&](const std::vector<float>& part) { return std::equal(part.begin(), part.end(), all.begin()); };
  check(begins(few) && begins(one) && none.empty(), std::string(design.name) + ": few images have the logits of many");
  return all;
}

template <class T>
std::string label(const Design& design, const std::string& what) {
  return std::string(design.name) + (sizeof(T) == sizeof(double) ? ", double: " : ", float: ") + what;
}

// ---- Checks.

// Weights, metrics and logits after an epoch are bit-identical on any number of threads, in one call or in two.
template <class T>
void check_threads(const Design& design, int batch, const Recipe& recipe) {
  constexpr int kImages = 35;  // a last partial batch of 2 or 3
  const Data data(design, kImages, batch, !design.pixels ? kNone : batch == 8 ? kFlipAndShift : kWarpColourAndBox);
  const std::vector<double> rates(data.steps.size() / 2, recipe.rate);
  const auto fresh = [&] { return Model<T>(design, recipe.has_first(), recipe.optimizer != kSgd); };
  const auto says = [&](const std::string& what) {
    return label<T>(design, what + " (" + recipe.name + ", batch " + std::to_string(batch) + ")");
  };
  Model<T> one = fresh();
  if (batch == 1 && one.has(kBatchNorm)) return;  // refused in Python
  const LenetMetrics expected = train(one, data, recipe, 1, rates);
  check(expected.images == kImages && expected.nonfinite_step == -1, says("all images are trained on, with a finite loss"));
  check(!one.same_bits(fresh()), says("training changes the weights"));
  const std::vector<float> answers = logits(one, data, 1);
  for (int threads : {2, 3}) {
    Model<T> many = fresh();
    const LenetMetrics found = train(many, data, recipe, threads, rates);
    const std::string on = " on " + std::to_string(threads) + " threads";
    check(many.same_bits(one), says("the same weights" + on));
    check(found.loss_sum == expected.loss_sum && found.correct == expected.correct, says("the same metrics" + on));
    check(logits(one, data, threads) == answers, says("the same logits" + on));
  }
  if (rates.size() < 2) return;
  Model<T> parts = fresh();
  train(parts, data, recipe, 2, {rates.begin(), rates.begin() + 1});
  train(parts, data, recipe, 2, {rates.begin() + 1, rates.end()}, 1);
  check(parts.same_bits(one), says("the same weights in two calls"));
}

template <class T>
void check_learning(const Design& design, const Recipe& recipe) {
  constexpr int kImages = 12, kEpochs = 40;
  const Data data(design, kImages, 4, kNone);
  Model<T> model(design, recipe.has_first(), recipe.optimizer != kSgd);
  const std::vector<double> rates(3, recipe.rate);
  const double before = train(model, data, recipe, 2, rates).loss_sum;
  double after = before;
  for (int epoch = 1; epoch < kEpochs; epoch++) after = train(model, data, recipe, 1 + epoch % 2, rates).loss_sum;
  check(after < 0.7 * before, label<T>(design, std::string("training lowers the loss (") + recipe.name + ", " +
                                                   std::to_string(before) + " to " + std::to_string(after) + ")"));
}

// Without dropout and batch norm, the training loss equals the cross-entropy of the logits.
template <class T>
void check_loss(const Design& design) {
  constexpr int kImages = 33;
  const Data data(design, kImages, kImages, kNone);
  Model<T> model(design, false, false);
  if (model.has(kDropout) || model.has(kBatchNorm)) return;
  const double found = train(model, data, kPlain, 2, {0.0}).loss_sum;
  const std::vector<float> z = logits(model, data, 1);
  double expected = 0;
  for (int n = 0; n < kImages; n++) {
    const float* const row = z.data() + size_t(n) * design.classes;
    double all = 0, mean = 0;
    for (int c = 0; c < design.classes; c++) {
      all += std::exp(double(row[c]));
      mean += row[c] / double(design.classes);
    }
    expected += std::log(all) - (1 - kPlain.smoothing) * row[data.labels[n]] - kPlain.smoothing * mean;
  }
  check(std::abs(found - expected) < 1e-4, label<T>(design, "the loss is the cross-entropy of the logits"));
}

// One step of plain SGD with learning rate 1 subtracts the gradient from the weights. It must agree with central
// differences of the loss.
void check_gradients(const Design& design, bool soft, bool weighted) {
  constexpr int kImages = 9;
  Recipe recipe = kPlain;
  recipe.soft = soft;
  recipe.weighted = weighted;
  const Data data(design, kImages, kImages, !design.pixels ? kNone : soft ? kWarpColourAndBox : kFlipAndShift);
  Model<double> model(design, false, false), stepped(design, false, false);
  train(stepped, data, recipe, 2, {1.0});
  const auto loss = [&] { return train(model, data, recipe, 1, {0.0}).loss_sum / kImages; };
  Noise noise(23);
  for (size_t k = 0; k < model.tensors.size(); k++) {
    std::vector<double>& value = model.tensors[k].value;
    const std::vector<double>& after = stepped.tensors[k].value;
    std::vector<double> gradient(value.size());
    size_t top = 0;
    for (size_t i = 0; i < value.size(); i++) {
      gradient[i] = value[i] - after[i];
      if (std::abs(gradient[i]) > std::abs(gradient[top])) top = i;
    }
    const double most = std::abs(gradient[top]);
    const std::string where = " of layer " + std::to_string(model.tensors[k].layer);
    if (!model.tensors[k].trained) {
      check(most == 0, label<double>(design, "no change" + where));
      continue;
    }
    if (model.tensors[k].weight) check(most > 1e-5, label<double>(design, "a gradient other than 0" + where));
    for (const size_t i : {top, size_t(0), value.size() - 1, size_t(noise.below(uint32_t(value.size())))}) {
      // A difference may straddle a kink of ReLU or a max pool, but not at every distance.
      double error = std::numeric_limits<double>::infinity();
      const double middle = value[i];
      for (double h : {1e-5, 1e-6, 1e-7}) {
        if (error <= 1e-5 * most + 1e-8) break;
        value[i] = middle + h;
        const double above = loss();
        value[i] = middle - h;
        error = std::min(error, std::abs((above - loss()) / (2 * h) - gradient[i]));
        value[i] = middle;
      }
      check(error <= 1e-5 * most + 1e-8, label<double>(design, "the gradient" + where + " at " + std::to_string(i) +
                                                                   ": off by " + std::to_string(error / (most + 1e-3))));
    }
  }
}

// A NaN learning rate makes the weights NaN in step 1, so step 2 has a loss that is not finite: it is not counted.
template <class T>
void check_nonfinite(const Design& design) {
  const Data data(design, 20, 5, design.pixels ? kFlipAndShift : kNone);
  for (int threads : {1, 3}) {
    Model<T> model(design, true, false);
    const LenetMetrics found =
        train(model, data, kNesterov, threads, {0.01, std::numeric_limits<double>::quiet_NaN(), 0.01, 0.01});
    check(found.nonfinite_step == 2 && found.images == 10 && std::isfinite(found.loss_sum),
          label<T>(design, "a loss that is not finite stops training before its update"));
  }
}

template <class T>
void check_all(const Design& design) {
  const Recipe* const recipes[] = {&kNesterov, &kAdamRecipe, &kAdamWRecipe, &kMomentum};
  const int batches[] = {1, 3, 8, 33};
  for (int i = 0; i < 4; i++) check_threads<T>(design, batches[i], *recipes[i]);
  const int number = int(&design - kDesigns.data());
  check_learning<T>(design, *recipes[number % 4]);
  check_loss<T>(design);
  check_nonfinite<T>(design);
}

}  // namespace

int main() {
  for (const Design& design : kDesigns) {
    check_all<float>(design);
    check_all<double>(design);
    for (bool soft : {false, true})
      for (bool weighted : {false, true}) check_gradients(design, soft, weighted);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
