// Dropout in training with p > 0; otherwise the network has no such layer. Which units are dropped follows from the
// same hash as in lenet.data.plan.dropout_keep.
#include <cstddef>
#include <cstdint>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "layer.h"
#include "schedule.h"

namespace lenet {

template <class T>
class Dropout : public Layer<T> {
 public:
  Dropout(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained), least_(uint32_t(spec.p * 4294967296.0)), scale_(T(1 / (1 - spec.p))) {}

  void allocate(Arena& arena) override {
    factors_ = arena.array<T>(size_t(this->context_.most_images) * in->columns());
    units_ = arena.array<uint32_t>(in->columns());
  }

  void pack() override {
    for (int i = 0; i < in->columns(); i++) units_[i] = uint32_t(in->layout.unit(i)) * 0x9E3779B1u;
  }

  Needs needs() const override {
    if (!by_images(*in)) return {};
    return {Needs::kOnce, Needs::kOnce, true, true};
  }

  void forward(Schedule& schedule) override {
    const uint64_t layer = uint64_t(this->spec_.number) << 32;
    each_run(schedule, *in, *out, [this, layer](const Step& step, int n, const Run& run) {
      uint64_t row = this->context_.call.dropout_key + (layer + uint64_t(step.begin + n)) * 0x9E3779B97F4A7C15u;
      row = (row ^ row >> 30) * 0xBF58476D1CE4E5B9u;
      row = (row ^ row >> 27) * 0x94D049BB133111EBu;
      row ^= row >> 31;
      const uint32_t low = uint32_t(row), high = uint32_t(row >> 32);
      T* const factors = factors_ + size_t(n) * in->columns() + run.first;
      const uint32_t* const units = units_ + run.first;
      const T* const x = in->image(n) + run.from;
      T* const y = out->image(n) + run.to;
      for (int i = 0; i < run.count; i++) {
        uint32_t h = low + units[i];
        h = (h ^ h >> 16) * 0x7FEB352Du;
        h = (h ^ high ^ h >> 15) * 0x846CA68Bu;
        h ^= h >> 16;
        factors[i] = h >= least_ ? scale_ : T(0);
        y[i] = x[i] * factors[i];
      }
    });
  }

  void backward(Schedule& schedule) override {
    if (!in->needs_gradient) return;
    each_run(schedule, *in, *out, [this](const Step&, int n, const Run& run) {
      const T* const factors = factors_ + size_t(n) * in->columns() + run.first;
      const T* const dy = out->image_gradient(n) + run.to;
      T* const dx = in->image_gradient(n) + run.from;
      for (int i = 0; i < run.count; i++) dx[i] = dy[i] * factors[i];
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  const uint32_t least_;  // the least hash of a unit that is kept; Python ensures p < 1
  const T scale_;
  T* factors_ = nullptr;        // [images][columns]: 0, or 1 / (1 - p)
  uint32_t* units_ = nullptr;   // [columns]: each unit's PyTorch index times the hash's constant
};

LENET_DEFINE_LAYER(make_dropout, Dropout)

}  // namespace lenet
