#include "network.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>

#include "conv_block.h"
#include "optimizer.h"
#include "residual.h"
#include "team.h"

namespace lenet {

// Flatten shares its input's memory.
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

const LenetLayer* last_weight(const LenetCall& call) {
  const LenetLayer* last = nullptr;
  for (int i = 0; i < call.layer_count; i++)
    if (call.layers[i].kind == kConv || call.layers[i].kind == kLinear) last = &call.layers[i];
  return last;
}

template <class T>
Network<T>::Network(const LenetCall& call, bool training, int most_images)
    : context_{call, Optimizer<T>(call), training, most_images, call.threads, last_weight(call)} {
  build();
  Arena count;
  allocate(count);
  arena_ = std::make_unique<Arena>(count.size());
  allocate(*arena_);

  input_->pack();
  for (auto& layer : layers_) layer->pack();

  input_->forward(forward_);
  for (auto& layer : layers_) layer->forward(forward_);
  if (training) {
    loss_->forward(forward_);
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) (*layer)->backward(backward_);
    for (auto& layer : layers_) layer->update(backward_);
    // `train` reads the loss at the first backward stage, so there must be one even if nothing is trained.
    if (backward_.empty()) backward_.images([](const Step&, const Slice&, const Worker&) {});
  }
  forward_.make_stages();
  backward_.make_stages();
}

// The layout after a layer whose windows of pixels move in strides: a convolution or a pool.
static Layout windowed(Layout layout, const LenetLayer& spec) {
  layout.height = (layout.height + 2 * spec.pad_y - spec.kernel) / spec.stride_y + 1;
  layout.width = (layout.width + 2 * spec.pad_x - spec.kernel) / spec.stride_x + 1;
  return layout;
}

template <class T>
void Network<T>::build() {
  const LenetCall& call = context_.call;
  const bool pixels = call.pixels != nullptr;
  blobs_.emplace_back();
  input_ = std::make_unique<Input<T>>(call, pixels ? &call.layers[0] : nullptr, blobs_.back());
  for (int i = pixels ? 1 : 0; i < call.layer_count; i++) {
    const LenetLayer& spec = call.layers[i];
    const bool trained = context_.training && spec.index >= call.frozen;
    Blob<T>& in = blobs_.back();
    Blob<T> out;
    out.layout = in.layout;
    out.layout.border_y = out.layout.border_x = 0;
    out.flat = in.flat;
    out.needs_gradient = in.needs_gradient;
    switch (spec.kind) {
      case kConv: {
        const bool first = i == 1;
        in.layout.border_y = spec.pad_y;
        in.layout.border_x = spec.pad_x;
        out.layout = windowed(out.layout, spec);
        out.layout.channels = spec.outputs;
        out.needs_gradient |= trained;
        out.before_norm = trained && i + 1 < call.layer_count && call.layers[i + 1].kind == kBatchNorm;
        BlockSpec block;
        if (const int length = block_at(i, block)) {
          out.layout.height /= 2;
          out.layout.width /= 2;
          out.needs_gradient |= context_.training && block.norm && block.norm->index >= call.frozen;
          add(make_conv_block(context_, block, first ? input_.get() : nullptr), out);
          i += length - 1;
        } else {
          const auto make = spec.groups == 1             ? make_conv<T>
                            : spec.groups == spec.inputs ? make_depthwise_conv<T>
                                                         : make_grouped_conv<T>;
          add(make(context_, spec, trained), out);
        }
        break;
      }
      case kLinear:
        out.layout = Layout();
        out.layout.channels = spec.outputs;
        out.flat = false;
        out.needs_gradient |= trained;
        add(make_linear(context_, spec, trained), out);
        break;
      case kBatchNorm:
        out.needs_gradient |= trained;
        if (in.flat || in.layout.height * in.layout.width == 1) {
          add(make_batch_norm(context_, spec, trained), out);
        } else {
          const LenetLayer* const activation = activation_at(i + 1);
          add(make_map_norm(context_, spec, activation, trained), out);
          i += activation != nullptr;
        }
        break;
      case kRelu:
      case kTanh:
      case kLeakyRelu:
        add(make_activation(context_, spec, trained), out);
        break;
      case kMaxPool:
      case kAveragePool:
        out.layout = windowed(out.layout, spec);
        add(make_pool(context_, spec, trained), out);
        break;
      case kGlobalAveragePool:
        out.layout.height = out.layout.width = 1;
        add(make_global_pool(context_, spec, trained), out);
        break;
      case kFlatten:
        out.flat = out.alias = true;
        add(std::make_unique<Flatten<T>>(context_, spec), out);
        break;
      case kDropout:
        if (trained && spec.p > 0) add(make_dropout(context_, spec, trained), out);
        break;
      case kBody:
      case kShortcut:
      case kAdd:
        add_branch(i, in, out);
        break;
      case kNormalize:
        break;
    }
  }
  // Only now all borders are known.
  for (auto& blob : blobs_)
    if (blob.sum) blob.layout = blob.sum->layout;
  find_passing();
  // The loss writes the logits' gradient even if nothing is trained.
  for (auto blob = blobs_.rbegin(); blob != blobs_.rend(); ++blob) {
    blob->needs_gradient = context_.training;
    if (!blob->alias) break;  // an alias has the gradient of the blob before it
  }
  loss_ = std::make_unique<Loss<T>>(call, blobs_.back());
}

// Marks blobs whose values, or gradients, are needed only in the stage that computes them. The layer after reads a blob,
// and Fork before it, which knows of all other readers.
template <class T>
void Network<T>::find_passing() {
  for (size_t i = 0; i + 1 < layers_.size(); i++) {
    const Needs writer = layers_[i]->needs();
    Blob<T>* const blob = layers_[i]->out;
    if (layers_[i + 1]->in != blob) continue;
    blob->passing = blob->passing_gradient = true;
    for (size_t j = i + 1; j < layers_.size() && layers_[j]->in == blob; j++) {
      const Needs reader = layers_[j]->needs();
      blob->passing &= reader.in == Needs::kOnce ? writer.out != Needs::kKept
                                                 : reader.in == Needs::kAgain && writer.out == Needs::kAgain;
      blob->passing_gradient &= writer.reads_gradient_once && reader.writes_gradient_last;
    }
  }
}

// The layers that begin the body and the shortcut of a residual block, and that add both.
template <class T>
void Network<T>::add_branch(int i, Blob<T>& in, Blob<T> out) {
  const LenetLayer& spec = context_.call.layers[i];
  if (spec.kind == kBody) {
    auto layer = std::make_unique<Fork<T>>(context_, spec);
    fork_ = layer.get();
    fork_->in = &in;
    layers_.push_back(std::move(layer));
  } else if (spec.kind == kShortcut) {
    body_ = &in;
    if (context_.call.layers[i + 1].kind == kAdd) return;
    out.layout = fork_->in->layout;
    out.layout.border_y = out.layout.border_x = 0;
    out.needs_gradient = fork_->in->needs_gradient;
    add(std::make_unique<Copy<T>>(context_, spec), out);
    layers_.back()->in = fork_->in;
    fork_->out = layers_.back()->out;
  } else {
    const bool copied = fork_->out;
    Blob<T>& other = copied ? in : *fork_->in;
    out.needs_gradient = body_->needs_gradient || other.needs_gradient;
    add(std::make_unique<Add<T>>(context_, spec, other), out);
    layers_.back()->in = body_;
    body_->sum = &blobs_.back();
    if (copied)
      other.sum = &blobs_.back();
    else
      fork_->out = &blobs_.back();
  }
}

// The activation at layer i, or null.
template <class T>
const LenetLayer* Network<T>::activation_at(int i) const {
  if (i == context_.call.layer_count) return nullptr;
  const LenetLayer& spec = context_.call.layers[i];
  return spec.kind == kRelu || spec.kind == kTanh || spec.kind == kLeakyRelu ? &spec : nullptr;
}

// If a block starts at layer i, sets `block` and returns its number of layers; otherwise returns 0.
template <class T>
int Network<T>::block_at(int i, BlockSpec& block) const {
  const LenetCall& call = context_.call;
  if (call.layers[i].stride_y != 1 || call.layers[i].stride_x != 1 || call.layers[i].groups != 1) return 0;
  const auto is = [&](int at, LenetKind a, LenetKind b) {
    return at < call.layer_count && (call.layers[at].kind == a || call.layers[at].kind == b);
  };
  const bool norm = is(i + 1, kBatchNorm, kBatchNorm);
  const int activation = i + 1 + norm, pool = activation + 1;
  if (!is(activation, kRelu, kTanh) || !is(pool, kMaxPool, kAveragePool)) return 0;
  const LenetLayer& window = call.layers[pool];
  if (window.kernel != 2 || window.stride_y != 2 || window.stride_x != 2 || window.pad_y || window.pad_x) return 0;
  block = {&call.layers[i], norm ? &call.layers[i + 1] : nullptr, &call.layers[activation], &call.layers[pool]};
  return pool + 1 - i;
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
  // Activations first, so that those of evaluation are close together.
  for (auto& blob : blobs_)
    if (!blob.alias) blob.allocate(arena, context_.most_images, context_.threads);
  input_->allocate(arena, context_);
  for (auto& layer : layers_) layer->allocate(arena);
  if (context_.training) loss_->allocate(arena, context_.most_images);
}

template <class T>
LenetMetrics Network<T>::train() {
  const LenetCall& call = context_.call;
  LenetMetrics metrics = {0, 0, 0.0, -1};
  const int forward = forward_.stages(), each = forward + backward_.stages();
  Step step = {};
  int64_t done = 0;  // steps
  // Called by one thread between two stages: counts what is done and returns the next stage's number of pieces.
  const auto pieces = [&](int64_t stage) {
    const int part = int(stage % each);
    if (part == 0) {
      done = stage / each;
      if (done == call.step_count) return 0;
      const int64_t begin = call.steps[2 * done], end = call.steps[2 * done + 1];
      step = {int(end - begin), begin, done, call.learning_rates[done]};
    } else if (part == forward) {
      const double loss = loss_->sum(step.images);
      if (!std::isfinite(loss)) {
        metrics.nonfinite_step = step.number;
        return 0;
      }
      metrics.images += step.images;
      metrics.loss_sum += loss;
      metrics.correct += loss_->correct(step.images);
    }
    return part < forward ? forward_.pieces(part, step, context_.threads)
                          : backward_.pieces(part - forward, step, context_.threads);
  };
  run_team(context_.threads, pieces, [&](int64_t stage, int piece, const Worker& worker) {
    const int part = int(stage % each);
    if (part < forward)
      forward_.work(part, piece, step, worker);
    else
      backward_.work(part - forward, piece, step, worker);
  });
  for (auto& layer : layers_) layer->unpack(done);
  return metrics;
}

template <class T>
void Network<T>::logits(float* to) {
  const LenetCall& call = context_.call;
  const int batch = context_.most_images, each = forward_.stages();
  Step step = {};
  const auto pieces = [&](int64_t stage) {
    if (stage % each == 0) {
      const Blob<T>& out = blobs_.back();
      if (stage > 0)
        for (int n = 0; n < step.images; n++)
          for (int c = 0; c < call.classes; c++) to[(step.begin + n) * call.classes + c] = float(out.image(n)[c]);
      const int64_t begin = stage / each * batch;
      if (begin >= call.image_count) return 0;
      step = {int(std::min<int64_t>(batch, call.image_count - begin)), begin, 0, 0.0};
    }
    return forward_.pieces(int(stage % each), step, context_.threads);
  };
  run_team(context_.threads, pieces, [&](int64_t stage, int piece, const Worker& worker) {
    forward_.work(int(stage % each), piece, step, worker);
  });
}

template class Network<float>;
template class Network<double>;

}  // namespace lenet
