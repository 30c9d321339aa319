// What every layer is, and what it is made with.
#pragma once

#include <memory>
#include <type_traits>

#include "api.h"
#include "blob.h"
#include "optimizer.h"
#include "schedule.h"

namespace lenet {

// Everything layers share in one call.
template <class T>
struct Context {
  const LenetCall& call;
  Optimizer<T> optimizer;
  bool training;
  int most_images;  // of a batch
  int members;      // of the team
};

// A layer is built in three steps: the constructor finds the layout of `out`; `allocate` asks for memory (twice, see
// Arena); `pack` fills it from the caller's. Then phases run, step after step, and `unpack` writes back.
template <class T>
class Layer {
 public:
  Layer(const Context<T>& context, const LenetLayer& spec, bool learns)
      : context_(context), spec_(spec), learns_(learns) {}
  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  virtual void allocate(Arena&) {}
  virtual void pack() {}
  virtual void unpack() {}
  virtual void forward(Schedule&) = 0;
  // Gradients of what learns in this layer, and of its input where that is needed.
  virtual void backward(Schedule&) {}
  // The update of what the backward pass has not updated on its way: after all of it, lest slices wait for one another.
  virtual void update(Schedule&) {}
  // Once after each step, on one thread.
  virtual void count_step() {}

  Blob<T>* in = nullptr;
  Blob<T>* out = nullptr;

 protected:
  const Context<T>& context_;
  const LenetLayer& spec_;
  const bool learns_;  // false: frozen, or evaluation
};

template <class T>
using LayerPointer = std::unique_ptr<Layer<T>>;

// A stretch of values that lie side by side in both blobs: the first one's number in its image, and where it lies.
struct Run {
  int first, from, to, count;
};

// A phase for what treats every value by itself: calls work(step, image, run) for all of a batch.
template <class T, class Work>
void each_run(Schedule& schedule, const Blob<T>& in, const Blob<T>& out, Work work) {
  const Layout from = in.layout, to = out.layout;
  if (from.height * from.width == 1 || in.flat) {
    schedule.columns(Split::features<T>(in.columns()), [work](const Step& step, Range columns, const Worker&) {
      const int begin = columns.begin, count = columns.end - columns.begin;
      for (int n = 0; n < step.images; n++) work(step, n, Run{begin, begin, begin, count});
    });
  } else {
    schedule.images([work, from, to](const Step& step, const Slice& slice, const Worker&) {
      const int count = from.width * from.channels;
      for (int n = slice.images.begin; n < slice.images.end; n++)
        for (int y = 0; y < from.height; y++) work(step, n, Run{y * count, from.at(y, 0), to.at(y, 0), count});
    });
  }
}

// One for each kind; each is defined in the kind's own file.
template <class T>
LayerPointer<T> make_conv(const Context<T>&, const LenetLayer&, bool learns);
template <class T>
class Input;
struct BlockSpec;
template <class T>
LayerPointer<T> make_conv_block(const Context<T>&, const BlockSpec&, Input<T>* input);
template <class T>
LayerPointer<T> make_linear(const Context<T>&, const LenetLayer&, bool learns);
template <class T>
LayerPointer<T> make_batch_norm(const Context<T>&, const LenetLayer&, bool learns);
template <class T>
LayerPointer<T> make_activation(const Context<T>&, const LenetLayer&, bool learns);
template <class T>
LayerPointer<T> make_pool(const Context<T>&, const LenetLayer&, bool learns);
template <class T>
LayerPointer<T> make_global_pool(const Context<T>&, const LenetLayer&, bool learns);
template <class T>
LayerPointer<T> make_dropout(const Context<T>&, const LenetLayer&, bool learns);

}  // namespace lenet
