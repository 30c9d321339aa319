// What crosses from the Python binding into the engine of one instruction set level: plain structs, two C functions.
//
// All is checked in Python before it comes here (lenet/engine/native.py). Pointers are to memory of the caller's that
// outlives the call: `value`, `first`, `second`, `mean` and `variance` to scalars of the model's own type (float or
// double) in PyTorch's layout.
#pragma once

#include <cstdint>

extern "C" {

enum LenetKind : int32_t {
  kNormalize,
  kConv,
  kBatchNorm,
  kRelu,
  kTanh,
  kLeakyRelu,
  kMaxPool,
  kAveragePool,
  kGlobalAveragePool,
  kFlatten,
  kLinear,
  kDropout,
};

enum LenetOptimizer : int32_t { kSgd, kAdam, kAdamW };

// A parameter and its optimizer state; null where there is none.
struct LenetParameter {
  void* value;
  void* first;   // momentum_buffer, or exp_avg
  void* second;  // exp_avg_sq
  float* steps;  // Adam's step count
};

struct LenetLayer {
  LenetKind kind;
  int32_t index;              // in the nn.Sequential
  int32_t inputs, outputs;    // channels or features
  int32_t kernel, pad_y, pad_x;
  double eps, momentum;       // batch norm
  double p;                   // dropout
  double slope;               // leaky ReLU, below zero
  LenetParameter weight, bias;
  void* mean;                 // running mean; the mean of Normalize
  void* variance;             // running variance; the standard deviation of Normalize
  int64_t* batches_tracked;
};

struct LenetCall {
  bool is_double;
  int32_t layer_count, frozen, threads;
  const LenetLayer* layers;

  // Pixels [images, height, width, channels], or features [images, channels] with pixels null.
  const uint8_t* pixels;
  const float* features;
  int64_t image_count;
  int32_t height, width, channels, classes;

  // lenet.data.plan.Plan
  const int64_t* order;
  const uint8_t* flips;
  const int8_t* shifts;
  const int64_t* steps;
  const double* learning_rates;
  int64_t step_count;
  uint64_t dropout_key;

  // labels by image, or soft targets [positions, classes]
  const int64_t* labels;
  const float* soft_targets;

  LenetOptimizer optimizer;
  double momentum, beta1, beta2, eps, weight_decay, label_smoothing;
  bool nesterov;

  float* logits;  // [images, classes], for lenet_logits
};

struct LenetMetrics {
  int64_t images, correct;
  double loss_sum;
  int64_t nonfinite_step;  // -1: none
};

// 0, or 1 where memory ran out (nothing has been changed then).
int lenet_train(const LenetCall* call, LenetMetrics* metrics);
int lenet_logits(const LenetCall* call);
}
