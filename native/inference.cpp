// A network in evaluation: built and packed once, then used for any number of calls.
#include <cstdint>
#include <new>
#include <vector>

#include "api.h"
#include "network.h"

// What Python holds: a network of either type.
struct LenetInference {
  virtual ~LenetInference() = default;
  virtual void logits(const void* images, int64_t image_count, float* logits) = 0;
};

namespace {

// Large enough for full tiles, small enough for the L2 cache.
constexpr int kEvaluationBatch = 32;

template <class T>
class Inference : public LenetInference {
 public:
  explicit Inference(const LenetCall& call)
      : layers_(call.layers, call.layers + call.layer_count),
        call_(with(call, layers_.data())),
        network_(call_, false, kEvaluationBatch) {}

  void logits(const void* images, int64_t image_count, float* logits) override {
    if (image_count == 0) return;  // `images` may be null, which would say that the other kind is meant
    if (call_.pixels)
      call_.pixels = static_cast<const uint8_t*>(images);
    else
      call_.features = static_cast<const float*>(images);
    call_.image_count = image_count;
    network_.logits(logits);
  }

 private:
  static LenetCall with(LenetCall call, const LenetLayer* layers) {
    call.layers = layers;
    return call;
  }

  const std::vector<LenetLayer> layers_;
  LenetCall call_;  // the network reads its images through it
  lenet::Network<T> network_;
};

}  // namespace

LenetInference* lenet_open(const LenetCall* call) {
  try {
    if (call->is_double) return new Inference<double>(*call);
    return new Inference<float>(*call);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

int lenet_infer(LenetInference* inference, const void* images, int64_t image_count, float* logits) {
  try {
    inference->logits(images, image_count, logits);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

void lenet_close(LenetInference* inference) { delete inference; }
