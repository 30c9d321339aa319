// The Python extension: describes layers and calls to the engine, and loads the engine built for an instruction set
// level. It computes nothing itself, so it is built for the platform's baseline.
#include <dlfcn.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "api.h"

namespace nb = nanobind;
using namespace nanobind::literals;
using Address = uintptr_t;  // 0: none

namespace {

template <class P>
P at(Address address) {
  return reinterpret_cast<P>(address);
}

// The levels this processor (and its operating system) can run, the best first.
std::vector<std::string> levels() {
  std::vector<std::string> found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto has = [](auto... supported) { return (... && (supported != 0)); };
  const bool v2 = has(__builtin_cpu_supports("sse4.2"), __builtin_cpu_supports("popcnt"), __builtin_cpu_supports("ssse3"));
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

// A call with the layers it points to.
struct Call : LenetCall {
  std::vector<LenetLayer> held;
};

// The engine of one level, loaded for good: shared objects with threads are not safely unloaded.
class Engine {
 public:
  explicit Engine(const std::string& path) {
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    train_ = reinterpret_cast<decltype(train_)>(dlsym(library, "lenet_train"));
    logits_ = reinterpret_cast<decltype(logits_)>(dlsym(library, "lenet_logits"));
    if (!train_ || !logits_) throw std::runtime_error(path + " is not an engine");
  }

  // (images, loss_sum, correct, nonfinite_step or -1)
  std::tuple<int64_t, double, int64_t, int64_t> train(const Call& call) const {
    LenetMetrics metrics = {};
    const nb::gil_scoped_release released;
    if (train_(&call, &metrics)) throw std::bad_alloc();
    return {metrics.images, metrics.loss_sum, metrics.correct, metrics.nonfinite_step};
  }

  void logits(const Call& call) const {
    const nb::gil_scoped_release released;
    if (logits_(&call)) throw std::bad_alloc();
  }

 private:
  int (*train_)(const LenetCall*, LenetMetrics*) = nullptr;
  int (*logits_)(const LenetCall*) = nullptr;
};

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The native engine's binding. Addresses are unchecked: lenet.engine.native alone may call it.";
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
      .value("dropout", kDropout);

  nb::enum_<LenetOptimizer>(m, "Optimizer").value("sgd", kSgd).value("adam", kAdam).value("adamw", kAdamW);

  nb::class_<LenetParameter>(m, "Parameter")
      .def(
          "__init__",
          [](LenetParameter* self, Address value, Address first, Address second, Address steps) {
            new (self) LenetParameter{at<void*>(value), at<void*>(first), at<void*>(second), at<float*>(steps)};
          },
          "value"_a = 0, "first"_a = 0, "second"_a = 0, "steps"_a = 0);

  nb::class_<LenetLayer>(m, "Layer")
      .def(
          "__init__",
          [](LenetLayer* self, LenetKind kind, int index, int inputs, int outputs, int kernel, int pad_y, int pad_x,
             double eps, double momentum, double p, double slope, const LenetParameter& weight, const LenetParameter& bias,
             Address mean, Address variance, Address batches_tracked) {
            new (self) LenetLayer{kind,   index, inputs, outputs, kernel, pad_y, pad_x, eps, momentum, p, slope, weight, bias,
                                  at<void*>(mean), at<void*>(variance), at<int64_t*>(batches_tracked)};
          },
          nb::kw_only(), "kind"_a, "index"_a, "inputs"_a = 0, "outputs"_a = 0, "kernel"_a = 0, "pad_y"_a = 0,
          "pad_x"_a = 0, "eps"_a = 0.0, "momentum"_a = 0.0, "p"_a = 0.0, "slope"_a = 0.0, "weight"_a = LenetParameter{},
          "bias"_a = LenetParameter{}, "mean"_a = 0, "variance"_a = 0, "batches_tracked"_a = 0);

  nb::class_<Call>(m, "Call")
      .def(nb::init<>())
      .def("set_network",
           [](Call& self, std::vector<LenetLayer> layers, bool is_double, int classes, int threads, int frozen) {
             self.held = std::move(layers);
             self.layers = self.held.data();
             self.layer_count = int32_t(self.held.size());
             self.is_double = is_double;
             self.classes = classes;
             self.threads = threads;
             self.frozen = frozen;
           },
           nb::kw_only(), "layers"_a, "is_double"_a, "classes"_a, "threads"_a, "frozen"_a)
      .def("set_images",
           [](Call& self, Address pixels, Address features, int64_t count, int height, int width, int channels) {
             self.pixels = at<const uint8_t*>(pixels);
             self.features = at<const float*>(features);
             self.image_count = count;
             self.height = height;
             self.width = width;
             self.channels = channels;
           },
           nb::kw_only(), "pixels"_a = 0, "features"_a = 0, "count"_a, "height"_a = 1, "width"_a = 1, "channels"_a)
      .def("set_plan",
           [](Call& self, Address order, Address flips, Address shifts, Address steps, Address learning_rates,
              int64_t step_count, uint64_t dropout_key) {
             self.order = at<const int64_t*>(order);
             self.flips = at<const uint8_t*>(flips);
             self.shifts = at<const int8_t*>(shifts);
             self.steps = at<const int64_t*>(steps);
             self.learning_rates = at<const double*>(learning_rates);
             self.step_count = step_count;
             self.dropout_key = dropout_key;
           },
           nb::kw_only(), "order"_a, "flips"_a, "shifts"_a, "steps"_a, "learning_rates"_a, "step_count"_a, "dropout_key"_a)
      .def("set_targets",
           [](Call& self, Address labels, Address soft) {
             self.labels = at<const int64_t*>(labels);
             self.soft_targets = at<const float*>(soft);
           },
           nb::kw_only(), "labels"_a = 0, "soft"_a = 0)
      .def("set_optimizer",
           [](Call& self, LenetOptimizer kind, double momentum, bool nesterov, double beta1, double beta2, double eps,
              double weight_decay, double label_smoothing) {
             self.optimizer = kind;
             self.momentum = momentum;
             self.nesterov = nesterov;
             self.beta1 = beta1;
             self.beta2 = beta2;
             self.eps = eps;
             self.weight_decay = weight_decay;
             self.label_smoothing = label_smoothing;
           },
           nb::kw_only(), "kind"_a, "momentum"_a, "nesterov"_a, "beta1"_a, "beta2"_a, "eps"_a, "weight_decay"_a,
           "label_smoothing"_a)
      .def("set_logits", [](Call& self, Address logits) { self.logits = at<float*>(logits); });

  nb::class_<Engine>(m, "Engine")
      .def(nb::init<const std::string&>())
      .def("train", &Engine::train)
      .def("logits", &Engine::logits);
}
