// The binding's class Inference: a network that Python evaluates any number of times.
#pragma once

#include <dlfcn.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <mutex>
#include <new>

#include "api.h"

// A contiguous array on the CPU of this type and number of dimensions.
template <class T, int Dimensions>
using Array = nanobind::ndarray<T, nanobind::ndim<Dimensions>, nanobind::c_contig, nanobind::device::cpu>;

// An argument that nanobind does not convert: it would truncate 0.5 to the pixel 0, and train a copy of a parameter.
inline auto exact(const char* name = nullptr) { return nanobind::arg(name).noconvert(); }

// The engine's functions; null where the library lacks one.
struct InferenceFunctions {
  decltype(&lenet_open) open = nullptr;
  decltype(&lenet_infer) infer = nullptr;
  decltype(&lenet_close) close = nullptr;

  static InferenceFunctions of(void* library) {
    return {reinterpret_cast<decltype(&lenet_open)>(dlsym(library, "lenet_open")),
            reinterpret_cast<decltype(&lenet_infer)>(dlsym(library, "lenet_infer")),
            reinterpret_cast<decltype(&lenet_close)>(dlsym(library, "lenet_close"))};
  }
  bool all() const { return open && infer && close; }
};

class Inference {
 public:
  Inference(const InferenceFunctions& functions, const LenetCall& call)
      : functions_(functions), network_(functions.open(&call)) {
    if (!network_) throw std::bad_alloc();
  }
  ~Inference() { functions_.close(network_); }
  Inference(const Inference&) = delete;
  Inference& operator=(const Inference&) = delete;

  static void define(nanobind::module_& m) {
    nanobind::class_<Inference>(m, "Inference")
        .def("logits", &Inference::logits<uint8_t, 4>, exact(), exact())
        .def("logits", &Inference::logits<float, 2>, exact(), exact());
  }

 private:
  // images: of the network's shape and kind, which Python has checked; written: [images, classes]
  template <class T, int Dimensions>
  void logits(const Array<const T, Dimensions>& images, const Array<float, 2>& written) {
    const nanobind::gil_scoped_release released;
    const std::lock_guard<std::mutex> alone(mutex_);
    if (functions_.infer(network_, images.data(), int64_t(images.shape(0)), written.data())) throw std::bad_alloc();
  }

  const InferenceFunctions functions_;
  LenetInference* const network_;
  std::mutex mutex_;
};
