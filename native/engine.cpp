// Training, as the shared object of an instruction set level exports it; inference.cpp has evaluation.
#include <cstdint>
#include <new>

#include "api.h"
#include "network.h"

namespace {

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

int lenet_train(const LenetCall* call, LenetMetrics* metrics) {
  try {
    *metrics = call->is_double ? train<double>(*call) : train<float>(*call);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
