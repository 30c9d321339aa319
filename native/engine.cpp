// The two functions that the shared object of an instruction set level exports.
#include <cstdint>
#include <new>

#include "api.h"
#include "network.h"

namespace {

// Large enough for full tiles, small enough for the L2 cache.
constexpr int kEvaluationBatch = 32;

template <class T>
LenetMetrics train(const LenetCall& call) {
  int64_t most = 1;
  for (int64_t s = 0; s < call.step_count; s++) {
    const int64_t images = call.steps[2 * s + 1] - call.steps[2 * s];
    if (images > most) most = images;
  }
  return lenet::Network<T>(call, true, int(most)).train();
}

}  // namespace

__attribute__((visibility("default"))) int lenet_train(const LenetCall* call, LenetMetrics* metrics) {
  try {
    *metrics = call->is_double ? train<double>(*call) : train<float>(*call);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

__attribute__((visibility("default"))) int lenet_logits(const LenetCall* call) {
  try {
    if (call->is_double)
      lenet::Network<double>(*call, false, kEvaluationBatch).logits();
    else
      lenet::Network<float>(*call, false, kEvaluationBatch).logits();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
