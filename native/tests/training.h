// Random images with their augmentation and labels, recipes, and calls of the engine with them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "../api.h"
#include "design.h"
#include "model.h"

namespace {

int passed = 0, failed = 0;

void check(bool right, const std::string& what) {
  ++(right ? passed : failed);
  if (!right) std::printf("FAILED: %s\n", what.c_str());
}

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

  bool has_second() const { return optimizer == kAdam || optimizer == kAdamW; }
  bool has_first() const { return has_second() || momentum != 0; }
};

const Recipe kNesterov = {"SGD, Nesterov", kSgd, 0.02, 0.9, true, 1e-3, false, 0, false};
const Recipe kMomentum = {"SGD, momentum, soft targets", kSgd, 0.02, 0.9, false, 0, true, 0.1, false};
const Recipe kAdamRecipe = {"Adam", kAdam, 0.004, 0, false, 1e-4, false, 0, false};
const Recipe kAdamWRecipe = {"AdamW, smoothing, class weights", kAdamW, 0.004, 0, false, 1e-2, false, 0.1, true};
const Recipe kMuonRecipe = {"Muon", kMuon, 0.02, 0.9, true, 1e-3, false, 0, false};
const Recipe* const kRecipes[] = {&kNesterov, &kAdamRecipe, &kAdamWRecipe, &kMomentum, &kMuonRecipe};

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
  call.labels = data.labels.data();
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

}  // namespace
