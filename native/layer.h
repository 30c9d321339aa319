// The base class of layers.
#pragma once

#include <cstdint>
#include <memory>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "optimizer.h"
#include "schedule.h"
#include "team.h"

namespace lenet {

// What all layers of one call share.
template <class T>
struct Context {
  const LenetCall& call;
  Optimizer<T> optimizer;
  bool training;
  int most_images;  // size of the largest batch
  int threads;
  const LenetLayer* last_weight;  // the last layer with a weight, which Muon leaves to SGD

  // Whether Muon makes the updates of the layer's weight orthogonal. It leaves convolutions with groups to SGD too.
  bool orthogonal(const LenetLayer& spec) const {
    return optimizer.orthogonal() && &spec != last_weight && spec.groups == 1;
  }
};

// What a layer needs of its blobs, for Network to find those that live within one stage.
struct Needs {
  // kOnce: values are read (`out`: written) in one phase by images, the forward pass's first (last), and not needed later.
  // kAgain: the backward pass reads them too, in phases by images that call `restore` first (`out`: can restore them).
  enum Values { kOnce, kAgain, kKept };
  Values in = kKept, out = kKept;
  // Whether the backward pass reads `out`'s gradient in its first phase only, by images, and writes that of `in` in its last
  // phase, by images.
  bool reads_gradient_once = false, writes_gradient_last = false;
};

// Network sets `in` and `out`, asks for `needs`, then calls `allocate` twice (see Arena) and `pack`, which copies parameters
// and state from the caller. `forward`, `backward` and `update` then add phases to the schedules. After the last of
// `steps` steps `unpack` copies parameters and state back.
template <class T>
class Layer {
 public:
  Layer(const Context<T>& context, const LenetLayer& spec, bool trained)
      : context_(context), spec_(spec), trained_(trained) {}
  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  virtual Needs needs() const { return {}; }
  virtual void allocate(Arena&) {}
  virtual void pack() {}
  virtual void unpack(int64_t /*steps*/) {}
  virtual void forward(Schedule&) = 0;
  // Computes the gradients of this layer's parameters, and of its input where `in->needs_gradient`. Does not change
  // `out`: the other branch of a residual block may share its gradient.
  virtual void backward(Schedule&) {}
  // Updates the parameters that `backward` has not updated. Runs after the whole backward pass, so that its phases by
  // slices stay in one stage.
  virtual void update(Schedule&) {}

  Blob<T>* in = nullptr;
  Blob<T>* out = nullptr;

 protected:
  const Context<T>& context_;
  const LenetLayer& spec_;
  const bool trained_;  // false if frozen or in evaluation
};

template <class T>
using LayerPointer = std::unique_ptr<Layer<T>>;

// Values that are contiguous in two blobs: index of the first in the image without border, its offsets in both blobs,
// and the number of values.
struct Run {
  int first, from, to, count;
};

// Calls work(run) for each row of an image.
template <class Work>
void each_row(const Layout& from, const Layout& to, Work work) {
  const int count = from.width * from.channels;
  for (int y = 0; y < from.height; y++) work(Run{y * count, from.at(y, 0), to.at(y, 0), count});
}

// Whether the phases of an elementwise layer are by images.
template <class T>
bool by_images(const Blob<T>& in) {
  return in.layout.height * in.layout.width > 1 && !in.flat;
}

// Adds a phase for an elementwise layer: it calls work(step, image, run) until all values of the batch are covered.
template <class T, class Work>
void each_run(Schedule& schedule, const Blob<T>& in, const Blob<T>& out, Work work) {
  const Layout from = in.layout, to = out.layout;
  if (!by_images(in)) {
    schedule.columns(Split::features<T>(in.columns()), [work, from, to](const Step& step, Range columns, const Worker&) {
      const int begin = columns.begin, count = columns.size();
      const Run run = {begin, from.at(0, 0) + begin, to.at(0, 0) + begin, count};
      for (int n = 0; n < step.images; n++) work(step, n, run);
    });
  } else {
    schedule.images([work, from, to](const Step& step, const Slice& slice, const Worker&) {
      for (int n = slice.images.begin; n < slice.images.end; n++)
        each_row(from, to, [&](const Run& run) { work(step, n, run); });
    });
  }
}

// Creates a layer of each kind; defined in the file of the same name.
template <class T>
LayerPointer<T> make_conv(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
LayerPointer<T> make_depthwise_conv(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
LayerPointer<T> make_grouped_conv(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
class Input;
struct BlockSpec;
template <class T>
LayerPointer<T> make_conv_block(const Context<T>&, const BlockSpec&, Input<T>* input);
template <class T>
LayerPointer<T> make_linear(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
LayerPointer<T> make_batch_norm(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
LayerPointer<T> make_map_norm(const Context<T>&, const LenetLayer&, const LenetLayer* activation, bool trained);
template <class T>
LayerPointer<T> make_activation(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
LayerPointer<T> make_pool(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
LayerPointer<T> make_global_pool(const Context<T>&, const LenetLayer&, bool trained);
template <class T>
LayerPointer<T> make_dropout(const Context<T>&, const LenetLayer&, bool trained);

// Defines such a function for float and double.
#define LENET_DEFINE_LAYER(make, Kind)                                                      \
  template <class T>                                                                        \
  LayerPointer<T> make(const Context<T>& context, const LenetLayer& spec, bool trained) {   \
    return std::make_unique<Kind<T>>(context, spec, trained);                               \
  }                                                                                         \
  template LayerPointer<float> make(const Context<float>&, const LenetLayer&, bool trained); \
  template LayerPointer<double> make(const Context<double>&, const LenetLayer&, bool trained);

}  // namespace lenet
