#include "network.h"

#include <algorithm>
#include <cmath>

namespace lenet {

// Flatten: the same memory, read as columns.
template <class T>
class Flatten : public Layer<T> {
 public:
  Flatten(const Context<T>& context, const LenetLayer& spec) : Layer<T>(context, spec, false) {}
  void pack() override {
    this->out->data = this->in->data;
    this->out->gradient = this->in->gradient;
    this->out->stride = this->in->stride;
  }
  void forward(Schedule&) override {}
};

template <class T>
Network<T>::Network(const LenetCall& call, bool training, int most_images)
    : context_{call, Optimizer<T>(call), training, most_images, call.threads} {
  build();
  Arena count;
  allocate(count);
  arena_ = std::make_unique<Arena>(count.size());
  allocate(*arena_);

  if (input_) input_->pack();
  for (auto& layer : layers_) layer->pack();

  input_->forward(forward_);
  for (auto& layer : layers_) layer->forward(forward_);
  if (!training) return;
  loss_->forward(forward_);
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) (*layer)->backward(backward_);
}

template <class T>
void Network<T>::build() {
  const LenetCall& call = context_.call;
  const bool pixels = call.pixels != nullptr;
  blobs_.emplace_back();
  input_ = std::make_unique<Input<T>>(call, pixels ? &call.layers[0] : nullptr, blobs_.back());
  for (int i = pixels ? 1 : 0; i < call.layer_count; i++) {
    const LenetLayer& spec = call.layers[i];
    const bool learns = context_.training && spec.index >= call.frozen;
    Blob<T>& in = blobs_.back();
    Blob<T> out;
    out.layout = in.layout;
    out.layout.border_y = out.layout.border_x = 0;
    out.flat = in.flat;
    out.needs_gradient = in.needs_gradient;
    switch (spec.kind) {
      case kConv:
        in.layout.border_y = spec.pad_y;
        in.layout.border_x = spec.pad_x;
        out.layout.height = in.layout.height + 2 * spec.pad_y - spec.kernel + 1;
        out.layout.width = in.layout.width + 2 * spec.pad_x - spec.kernel + 1;
        out.layout.channels = spec.outputs;
        out.needs_gradient |= learns;
        add(make_conv(context_, spec, learns), out);
        break;
      case kLinear:
        out.layout = Layout();
        out.layout.channels = spec.outputs;
        out.flat = false;
        out.needs_gradient |= learns;
        add(make_linear(context_, spec, learns), out);
        break;
      case kBatchNorm:
        out.needs_gradient |= learns;
        add(make_batch_norm(context_, spec, learns), out);
        break;
      case kRelu:
      case kTanh:
        add(make_activation(context_, spec, learns), out);
        break;
      case kMaxPool:
      case kAveragePool:
        out.layout.height /= 2;
        out.layout.width /= 2;
        add(make_pool(context_, spec, learns), out);
        break;
      case kFlatten:
        out.flat = out.alias = true;
        add(std::make_unique<Flatten<T>>(context_, spec), out);
        break;
      case kDropout:
        if (learns && spec.p > 0) add(make_dropout(context_, spec, learns), out);
        break;
      case kNormalize:
        break;
    }
  }
  // The loss writes the logits' gradient even where nothing learns.
  blobs_.back().needs_gradient = context_.training;
  loss_ = std::make_unique<Loss<T>>(call, blobs_.back());
}

template <class T>
void Network<T>::add(LayerPointer<T> layer, Blob<T> out) {
  layer->in = &blobs_.back();
  blobs_.push_back(out);
  layer->out = &blobs_.back();
  layers_.push_back(std::move(layer));
}

template <class T>
void Network<T>::allocate(Arena& arena) {
  // What the forward pass writes comes first: evaluation then touches neighbouring memory alone.
  for (auto& blob : blobs_)
    if (!blob.alias) blob.allocate(arena, context_.most_images);
  input_->allocate(arena, context_.members);
  for (auto& layer : layers_) layer->allocate(arena);
  if (context_.training) loss_->allocate(arena, context_.most_images);
}

template <class T>
LenetMetrics Network<T>::train() {
  LenetMetrics metrics = {0, 0, 0.0, -1};
  run_team(context_.members, [&](Worker& worker) { worker_trains(worker, metrics); });
  for (auto& layer : layers_) layer->unpack();
  return metrics;
}

template <class T>
void Network<T>::worker_trains(Worker& worker, LenetMetrics& metrics) {
  const LenetCall& call = context_.call;
  for (int64_t s = 0; s < call.step_count; s++) {
    const int64_t begin = call.steps[2 * s], end = call.steps[2 * s + 1];
    const Step step = {int(end - begin), begin, s, call.learning_rates[s]};
    forward_.run(step, worker);
    const double loss = loss_->sum(step.images);
    if (!std::isfinite(loss)) {
      if (worker.index == 0) metrics.nonfinite_step = s;
      return;
    }
    if (worker.index == 0) {
      metrics.images += step.images;
      metrics.loss_sum += loss;
      metrics.correct += loss_->correct(step.images);
    }
    backward_.run(step, worker);
    if (worker.index == 0)
      for (auto& layer : layers_) layer->count_step();
    worker.wait();
  }
}

template <class T>
void Network<T>::logits() {
  const LenetCall& call = context_.call;
  const int batch = context_.most_images;
  run_team(context_.members, [&](Worker& worker) {
    for (int64_t begin = 0; begin < call.image_count; begin += batch) {
      const Step step = {int(std::min<int64_t>(batch, call.image_count - begin)), begin, 0, 0.0};
      forward_.run(step, worker);
      const Blob<T>& out = blobs_.back();
      if (worker.index == 0)
        for (int n = 0; n < step.images; n++)
          for (int c = 0; c < call.classes; c++) call.logits[(begin + n) * call.classes + c] = float(out.image(n)[c]);
      worker.wait();
    }
  });
}

template class Network<float>;
template class Network<double>;

}  // namespace lenet
