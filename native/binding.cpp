// The Python extension: converts arrays to the structs of api.h and loads the engine of an instruction set level. It
// does no arithmetic, so it is compiled for the platform's baseline.
#include <dlfcn.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "api.h"
#include "binding_inference.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace {

// A Call keeps references to its arrays, so that their memory outlives it.
template <class T, int Dimensions>
using MaybeArray = std::optional<Array<T, Dimensions>>;
// A tensor of the model: float or double, which `pointer_of` checks.
using MaybeTensor = std::optional<nb::ndarray<nb::c_contig, nb::device::cpu>>;

template <class A>
auto pointer(const std::optional<A>& array) -> decltype(array->data()) {
  return array ? array->data() : nullptr;
}

// A parameter and its optimizer state.
struct Parameter {
  MaybeTensor value, first, second;
  MaybeArray<float, 0> steps;
};

struct Layer {
  LenetLayer numbers;
  Parameter weight, bias;
  MaybeTensor mean, variance;
  MaybeArray<int64_t, 0> batches_tracked;
};

void* pointer_of(const MaybeTensor& tensor, bool is_double) {
  if (!tensor) return nullptr;
  if (tensor->dtype() != (is_double ? nb::dtype<double>() : nb::dtype<float>()))
    throw nb::type_error("a tensor does not have the model's dtype");
  return tensor->data();
}

LenetParameter plain(const Parameter& from, bool is_double) {
  for (const MaybeTensor* state : {&from.first, &from.second})
    if (*state && (*state)->size() != from.value->size())
      throw nb::value_error("the optimizer state's size differs from its parameter's");
  return {pointer_of(from.value, is_double), pointer_of(from.first, is_double), pointer_of(from.second, is_double),
          pointer(from.steps)};
}

// The levels that this processor and operating system support, highest first.
std::vector<std::string> levels() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto has = [](auto... supported) { return (... && (supported != 0)); };
  const bool v2 =
      has(__builtin_cpu_supports("sse4.2"), __builtin_cpu_supports("popcnt"), __builtin_cpu_supports("ssse3"));
  const bool v3 = v2 && has(__builtin_cpu_supports("avx2"), __builtin_cpu_supports("fma"), __builtin_cpu_supports("bmi"),
                            __builtin_cpu_supports("bmi2"));
  const bool v4 = v3 && has(__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bw"),
                            __builtin_cpu_supports("avx512cd"), __builtin_cpu_supports("avx512dq"),
                            __builtin_cpu_supports("avx512vl"));
  if (v4) found.push_back("x86-64-v4");
  if (v3) found.push_back("x86-64-v3");
  if (v2) found.push_back("x86-64-v2");
#else
  found.push_back("baseline");
#endif
  return found;
}

// A LenetCall and the layers and arrays that it points to.
class Call {
 public:
  void set_network(std::vector<Layer> layers, bool is_double, int classes, int threads, int frozen) {
    layers_ = std::move(layers);
    for (Layer& layer : layers_) {
      LenetLayer numbers = layer.numbers;
      numbers.weight = plain(layer.weight, is_double);
      numbers.bias = plain(layer.bias, is_double);
      numbers.mean = pointer_of(layer.mean, is_double);
      numbers.variance = pointer_of(layer.variance, is_double);
      numbers.batches_tracked = pointer(layer.batches_tracked);
      plain_layers_.push_back(numbers);
    }
    call_.layers = plain_layers_.data();
    call_.layer_count = int32_t(plain_layers_.size());
    call_.is_double = is_double;
    call_.classes = classes;
    call_.threads = threads;
    call_.frozen = frozen;
  }

  void set_pixels(Array<const uint8_t, 4> pixels) {
    pixels_ = std::move(pixels);
    call_.pixels = pixels_->data();
    call_.image_count = int64_t(pixels_->shape(0));
    call_.height = int32_t(pixels_->shape(1));
    call_.width = int32_t(pixels_->shape(2));
    call_.channels = int32_t(pixels_->shape(3));
  }

  void set_features(Array<const float, 2> features) {
    features_ = std::move(features);
    call_.features = features_->data();
    call_.image_count = int64_t(features_->shape(0));
    call_.height = call_.width = 1;
    call_.channels = int32_t(features_->shape(1));
  }

  void set_plan(Array<const int64_t, 1> order, MaybeArray<const uint8_t, 1> flips, MaybeArray<const int8_t, 2> shifts,
                MaybeArray<const int32_t, 3> warps, MaybeArray<const int32_t, 2> colours,
                MaybeArray<const int16_t, 2> boxes, Array<const int64_t, 2> steps,
                Array<const double, 1> learning_rates, uint64_t dropout_key) {
    order_ = std::move(order);
    flips_ = std::move(flips);
    shifts_ = std::move(shifts);
    warps_ = std::move(warps);
    colours_ = std::move(colours);
    boxes_ = std::move(boxes);
    steps_ = std::move(steps);
    learning_rates_ = std::move(learning_rates);
    call_.order = order_->data();
    call_.flips = pointer(flips_);
    call_.shifts = pointer(shifts_);
    call_.warps = pointer(warps_);
    call_.colours = pointer(colours_);
    call_.boxes = pointer(boxes_);
    call_.steps = steps_->data();
    call_.learning_rates = learning_rates_->data();
    call_.step_count = int64_t(steps_->shape(0));
    call_.dropout_key = dropout_key;
  }

  void set_labels(Array<const int64_t, 1> labels) {
    labels_ = std::move(labels);
    call_.labels = labels_->data();
  }

  void set_soft_targets(Array<const float, 2> targets) {
    soft_targets_ = std::move(targets);
    call_.soft_targets = soft_targets_->data();
  }

  void set_class_weights(Array<const double, 1> weights) {
    class_weights_ = std::move(weights);
    call_.class_weights = class_weights_->data();
  }

  void set_optimizer(LenetOptimizer kind, double momentum, bool nesterov, double beta1, double beta2, double eps,
                     double weight_decay, double label_smoothing) {
    call_.optimizer = kind;
    call_.momentum = momentum;
    call_.nesterov = nesterov;
    call_.beta1 = beta1;
    call_.beta2 = beta2;
    call_.eps = eps;
    call_.weight_decay = weight_decay;
    call_.label_smoothing = label_smoothing;
  }

  const LenetCall& plain_call() const { return call_; }

 private:
  LenetCall call_ = {};
  std::vector<Layer> layers_;
  std::vector<LenetLayer> plain_layers_;
  MaybeArray<const uint8_t, 4> pixels_;
  MaybeArray<const float, 2> features_, soft_targets_;
  MaybeArray<const int64_t, 1> order_, labels_;
  MaybeArray<const uint8_t, 1> flips_;
  MaybeArray<const int8_t, 2> shifts_;
  MaybeArray<const int32_t, 3> warps_;
  MaybeArray<const int32_t, 2> colours_;
  MaybeArray<const int16_t, 2> boxes_;
  MaybeArray<const int64_t, 2> steps_;
  MaybeArray<const double, 1> learning_rates_, class_weights_;
};

// The engine of one level. It is never unloaded.
class Engine {
 public:
  explicit Engine(const std::string& path) {
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    train_ = reinterpret_cast<decltype(train_)>(dlsym(library, "lenet_train"));
    inference_ = InferenceFunctions::of(library);
    if (!train_ || !inference_.all()) throw std::runtime_error(path + " is not a native engine");
  }

  // Returns (images, loss_sum, correct, nonfinite_step or -1).
  std::tuple<int64_t, double, int64_t, int64_t> train(const Call& call) const {
    LenetMetrics metrics = {};
    const nb::gil_scoped_release released;
    if (train_(&call.plain_call(), &metrics)) throw std::bad_alloc();
    return {metrics.images, metrics.loss_sum, metrics.correct, metrics.nonfinite_step};
  }

  std::unique_ptr<Inference> inference(const Call& call) const {
    return std::make_unique<Inference>(inference_, call.plain_call());
  }

 private:
  int (*train_)(const LenetCall*, LenetMetrics*) = nullptr;
  InferenceFunctions inference_;
};

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "Binding of the native engine. For lenet.engine alone: the contents of arrays are unchecked.";
  m.def("levels", &levels);

  nb::enum_<LenetKind>(m, "Kind")
      .value("normalize", kNormalize)
      .value("conv", kConv)
      .value("batch_norm", kBatchNorm)
      .value("relu", kRelu)
      .value("tanh", kTanh)
      .value("leaky_relu", kLeakyRelu)
      .value("max_pool", kMaxPool)
      .value("average_pool", kAveragePool)
      .value("global_average_pool", kGlobalAveragePool)
      .value("flatten", kFlatten)
      .value("linear", kLinear)
      .value("dropout", kDropout)
      .value("body", kBody)
      .value("shortcut", kShortcut)
      .value("add", kAdd);

  nb::enum_<LenetOptimizer>(m, "Optimizer").value("sgd", kSgd).value("adam", kAdam).value("adamw", kAdamW)
      .value("muon", kMuon);

  nb::class_<Parameter>(m, "Parameter")
      .def(
          "__init__",
          [](Parameter* self, MaybeTensor value, MaybeTensor first, MaybeTensor second, MaybeArray<float, 0> steps) {
            new (self) Parameter{std::move(value), std::move(first), std::move(second), std::move(steps)};
          },
          exact("value").none() = nb::none(), exact("first").none() = nb::none(), exact("second").none() = nb::none(),
          exact("steps").none() = nb::none());

  nb::class_<Layer>(m, "Layer")
      .def(
          "__init__",
          [](Layer* self, LenetKind kind, int index, int number, int inputs, int outputs, int kernel, int stride_y,
             int stride_x, int pad_y, int pad_x, int groups, double eps, double momentum, double p, double slope,
             const Parameter& weight, const Parameter& bias, MaybeTensor mean, MaybeTensor variance,
             MaybeArray<int64_t, 0> batches_tracked) {
            LenetLayer numbers = {};
            numbers.kind = kind;
            numbers.index = index;
            numbers.number = number;
            numbers.inputs = inputs;
            numbers.outputs = outputs;
            numbers.kernel = kernel;
            numbers.stride_y = stride_y;
            numbers.stride_x = stride_x;
            numbers.pad_y = pad_y;
            numbers.pad_x = pad_x;
            numbers.groups = groups;
            numbers.eps = eps;
            numbers.momentum = momentum;
            numbers.p = p;
            numbers.slope = slope;
            new (self) Layer{numbers, weight, bias, std::move(mean), std::move(variance), std::move(batches_tracked)};
          },
          nb::kw_only(), "kind"_a, "index"_a, "number"_a = 0, "inputs"_a = 0, "outputs"_a = 0, "kernel"_a = 0,
          "stride_y"_a = 1, "stride_x"_a = 1, "pad_y"_a = 0, "pad_x"_a = 0, "groups"_a = 1, "eps"_a = 0.0, "momentum"_a = 0.0,
          "p"_a = 0.0, "slope"_a = 0.0, "weight"_a = Parameter{}, "bias"_a = Parameter{}, exact("mean").none() = nb::none(),
          exact("variance").none() = nb::none(), exact("batches_tracked").none() = nb::none());

  nb::class_<Call>(m, "Call")
      .def(nb::init<>())
      .def("set_network", &Call::set_network, nb::kw_only(), "layers"_a, "is_double"_a, "classes"_a, "threads"_a,
           "frozen"_a)
      .def("set_pixels", &Call::set_pixels, exact())
      .def("set_features", &Call::set_features, exact())
      .def("set_plan", &Call::set_plan, nb::kw_only(), "order"_a, "flips"_a.none(), "shifts"_a.none(),
           "warps"_a.none() = nb::none(), "colours"_a.none() = nb::none(), "boxes"_a.none() = nb::none(), "steps"_a,
           "learning_rates"_a, "dropout_key"_a)
      .def("set_labels", &Call::set_labels, exact())
      .def("set_soft_targets", &Call::set_soft_targets, exact())
      .def("set_class_weights", &Call::set_class_weights, exact())
      .def("set_optimizer", &Call::set_optimizer, nb::kw_only(), "kind"_a, "momentum"_a, "nesterov"_a, "beta1"_a,
           "beta2"_a, "eps"_a, "weight_decay"_a, "label_smoothing"_a);

  Inference::define(m);

  nb::class_<Engine>(m, "Engine")
      .def(nb::init<const std::string&>())
      .def("train", &Engine::train)
      .def("inference", &Engine::inference);
}
