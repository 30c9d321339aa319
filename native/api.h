// The interface between the Python binding and the engine of one instruction set level: plain structs and four
// functions.
//
// Python checks everything first (lenet/engine/native_checks.py); the engine checks nothing. The caller owns all memory
// and keeps it until the call returns. `value`, `first`, `second`, `mean` and `variance` point to scalars of the
// model's type (float or double) in PyTorch's layout.
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
  // A residual block: kBody, the layers of its body, kShortcut, those of its shortcut, kAdd.
  kBody,
  kShortcut,
  kAdd,
};

enum LenetOptimizer : int32_t { kSgd, kAdam, kAdamW, kMuon };

// A parameter and its optimizer state; null pointers for what does not exist.
struct LenetParameter {
  void* value;
  void* first;   // momentum_buffer, or exp_avg
  void* second;  // exp_avg_sq
  float* steps;  // Adam's step count
};

struct LenetLayer {
  LenetKind kind;
  int32_t index;              // position in the nn.Sequential; in a residual block, the block's
  int32_t number;             // of a dropout layer, which its masks depend on
  int32_t inputs, outputs;    // channels or features
  int32_t kernel, stride_y, stride_x, pad_y, pad_x;
  int32_t groups;             // of a convolution
  double eps, momentum;       // batch norm
  double p;                   // dropout probability
  double slope;               // of leaky ReLU for negative inputs
  LenetParameter weight, bias;
  void* mean;                 // running mean; the mean of Normalize
  void* variance;             // running variance; the standard deviation of Normalize
  int64_t* batches_tracked;
};

struct LenetCall {
  bool is_double;
  int32_t layer_count;
  int32_t frozen;  // number of first layers that are not trained
  int32_t threads;
  const LenetLayer* layers;

  // Either pixels [images, height, width, channels], or features [images, channels]; the other pointer is null.
  const uint8_t* pixels;
  const float* features;
  int64_t image_count;
  int32_t height, width, channels, classes;

  // The fields of lenet.data.plan.Plan; what no image needs is null. Flips and shifts are not used if there are warps.
  const int64_t* order;
  const uint8_t* flips;
  const int8_t* shifts;
  const int32_t* warps;
  const int32_t* colours;
  const int16_t* boxes;
  const int64_t* steps;
  const double* learning_rates;
  int64_t step_count;
  uint64_t dropout_key;

  // Labels [images], and soft targets [positions of `order`, classes] that replace them in the loss, or null.
  const int64_t* labels;
  const float* soft_targets;
  const double* class_weights;  // [classes], above 0; null: every class has weight 1

  LenetOptimizer optimizer;
  double momentum, beta1, beta2, eps, weight_decay, label_smoothing;
  bool nesterov;

};

struct LenetMetrics {
  int64_t images, correct;
  double loss_sum;
  int64_t nonfinite_step;  // first step with a loss that is not finite, which ended training; -1: none
};

// All else is hidden, since each level's shared object is compiled with -fvisibility=hidden.
#pragma GCC visibility push(default)

// Returns 0, or 1 if memory could not be allocated; nothing has been changed then.
int lenet_train(const LenetCall* call, LenetMetrics* metrics);

// A network in evaluation, built and packed once for any number of calls. It has its own copy of all parameters, so that
// nothing that `call` points to is needed after lenet_open. One thread at a time may use it.
struct LenetInference;

// Reads the network, the images' shape and which of `pixels` and `features` is not null, but no image. Returns null if
// memory could not be allocated.
LenetInference* lenet_open(const LenetCall* call);
// images: as `pixels` or `features` of LenetCall; logits: [images, classes]. Returns 0, or 1 as lenet_train.
int lenet_infer(LenetInference* inference, const void* images, int64_t image_count, float* logits);
void lenet_close(LenetInference* inference);

#pragma GCC visibility pop
}
