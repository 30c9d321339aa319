// A convolution on its own: the general path, and the pattern of the fused ones.
#include "conv_kernels.h"
#include "layer.h"

namespace lenet {

template <class T>
class Conv : public Layer<T> {
 public:
  Conv(const Context<T>& context, const LenetLayer& spec, bool learns) : Layer<T>(context, spec, learns), weights_(spec) {}

  void allocate(Arena& arena) override {
    Layer<T>::allocate(arena, weights_.weight, weights_.size());
    Layer<T>::allocate(arena, weights_.bias, padded<T>(this->spec_.outputs));
    weights_.allocate(arena, this->learns_ ? kMostSlices : 0);
  }

  void pack() override {
    move([](T& theirs, T& ours) { ours = theirs; });
    this->load_steps(this->spec_.weight, weights_.weight);
    this->load_steps(this->spec_.bias, weights_.bias);
    for (int c = 0; c < this->spec_.outputs; c++) weights_.spread(c);
  }

  void unpack() override {
    if (!this->learns_) return;
    move([](T& theirs, T& ours) { theirs = ours; });
    this->save_steps(this->spec_.weight, weights_.weight);
    this->save_steps(this->spec_.bias, weights_.bias);
  }

  void forward(Schedule& schedule) override {
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      const Layout &from = in->layout, &to = out->layout;
      for (int n = slice.images.begin; n < slice.images.end; n++)
        for (int y = 0; y < to.height; y++)
          conv_row(weights_, in->image(n) + from.at(y - from.border_y, -from.border_x), from.row(), to.width,
                   out->image(n) + to.at(y, 0), to.channels, to.channels);
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->learns_) return;
    schedule.images([this](const Step&, const Slice& slice, const Worker&) {
      weights_.clear(slice.index);
      for (int n = slice.images.begin; n < slice.images.end; n++) image_backward(n, slice.index);
    });
    schedule.columns(this->spec_.outputs, 1, [this](const Step& step, Range channels, const Worker&) {
      weights_.update(this->context_.optimizer, step, channels);
    });
  }

  void count_step() override {
    if (!this->learns_) return;
    weights_.weight.steps++;
    weights_.bias.steps++;
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  void image_backward(int n, int slice) {
    const Layout &from = in->layout, &to = out->layout;
    if (in->needs_gradient) std::memset(in->image_gradient(n), 0, size_t(in->stride) * sizeof(T));
    for (int y = 0; y < to.height; y++) {
      const int top = from.at(y - from.border_y, -from.border_x);
      const T* const dz = out->image_gradient(n) + to.at(y, 0);
      conv_row_weight_gradient(weights_, in->image(n) + top, from.row(), to.width, dz, to.channels,
                               weights_.weight_gradient(slice), weights_.bias_gradient(slice));
      if (in->needs_gradient)
        conv_row_input_gradient(weights_, in->image_gradient(n) + top, from.row(), to.width, dz, to.channels);
    }
  }

  template <class Move>
  void move(Move move) {
    const auto copy = [&](T* theirs, T* ours) { weights_.each(theirs, ours, move); };
    this->each_piece(this->spec_.weight, weights_.weight, copy);
    this->each_piece(this->spec_.bias, weights_.bias, [&](T* theirs, T* ours) {
      for (int c = 0; c < this->spec_.outputs; c++) move(theirs[c], ours[c]);
    });
  }

  ConvWeights<T> weights_;
};

template <class T>
LayerPointer<T> make_conv(const Context<T>& context, const LenetLayer& spec, bool learns) {
  return std::make_unique<Conv<T>>(context, spec, learns);
}

template LayerPointer<float> make_conv(const Context<float>&, const LenetLayer&, bool);
template LayerPointer<double> make_conv(const Context<double>&, const LenetLayer&, bool);

}  // namespace lenet
