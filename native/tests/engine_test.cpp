// Tests of the engine without Python, for the sanitizers (native/sanitize.sh). Trains small networks with every kind of
// layer on random images in float and double, checks that results are bit-identical on any number of threads, and
// compares gradients with finite differences of the loss. Every array is its own heap block of exactly its size, so
// that the sanitizers detect overruns.
//
//     engine_test [threads]      threads: only what several threads do, in float, for ThreadSanitizer
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "../api.h"
#include "design.h"
#include "model.h"
#include "training.h"

namespace {

template <class T>
std::string label(const Design& design, const std::string& what) {
  return std::string(design.name) + (sizeof(T) == sizeof(double) ? ", double: " : ", float: ") + what;
}

// Weights, metrics and logits after an epoch are bit-identical on any number of threads, in one call or in two.
template <class T>
void check_threads(const Design& design, int batch, const Recipe& recipe) {
  constexpr int kImages = 35;  // a last partial batch of 2 or 3
  const Data data(design, kImages, batch, !design.pixels ? kNone : batch == 8 ? kFlipAndShift : kWarpColourAndBox);
  const std::vector<double> rates(data.steps.size() / 2, recipe.rate);
  const auto fresh = [&] { return Model<T>(design, recipe.has_first(), recipe.has_second()); };
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
  Model<T> model(design, recipe.has_first(), recipe.has_second());
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
    std::vector<size_t> places = {top, size_t(noise.below(uint32_t(value.size())))};
    if (model.tensors[k].weight) places.insert(places.end(), {0, value.size() - 1});
    for (const size_t i : places) {
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

const Recipe& recipe_for(int number) { return *kRecipes[number % int(std::size(kRecipes))]; }

// number: of the design, by which the recipes turn
template <class T>
void check_threads(const Design& design, int number) {
  const int batches[] = {1, 3, 8, 33};
  for (int i = 0; i < 4; i++) check_threads<T>(design, batches[i], recipe_for(number + i));
}

template <class T>
void check_all(const Design& design, int number) {
  check_threads<T>(design, number);
  check_learning<T>(design, *kRecipes[number % 4]);  // not Muon, whose rate would suit few of these designs
  check_loss<T>(design);
  check_nonfinite<T>(design);
}

}  // namespace

int main(int count, char** words) {
  const bool only_threads = count == 2 && std::string(words[1]) == "threads";
  if (count > 1 && !only_threads) {
    std::fprintf(stderr, "usage: engine_test [threads]\n");
    return 2;
  }
  int number = 0;
  for (const Design& design : kDesigns) {
    if (only_threads) {
      check_threads<float>(design, number++);
      continue;
    }
    check_all<float>(design, number);
    check_all<double>(design, number);
    // Soft targets and class weights meet in the loss alone, so that two of the four combinations are enough for each.
    for (bool soft : {false, true}) check_gradients(design, soft, soft == (number % 2 == 0));
    number++;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
