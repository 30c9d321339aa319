// A fully connected layer. Its weights lie by input: row i holds those from input i to all outputs, padded to vectors,
// so that the forward pass and the weights' gradient both run along a row. A row's gradient is formed, used to update
// the row and forgotten while the row is in L1.
#include "layer.h"

namespace lenet {

namespace {

// y[b][o] = bias[o] + sum over i of x[b][i] w[i][o], for Images rows of x and Q vectors of outputs, all in registers.
template <class T, int Images, int Q>
void forward_tile(const T* x, int x_stride, const T* w, int w_stride, int inputs, const T* bias, T* y, int y_stride) {
  Vec<T> sum[Images][Q];
  for (int b = 0; b < Images; b++)
    for (int q = 0; q < Q; q++) sum[b][q] = load(bias + q * kLanes<T>);
  for (int i = 0; i < inputs; i++, w += w_stride) {
    Vec<T> row[Q];
    for (int q = 0; q < Q; q++) row[q] = load(w + q * kLanes<T>);
    for (int b = 0; b < Images; b++) {
      const Vec<T> value = broadcast(x[b * x_stride + i]);
      for (int q = 0; q < Q; q++) sum[b][q] += value * row[q];
    }
  }
  for (int b = 0; b < Images; b++)
    for (int q = 0; q < Q; q++) store(y + b * y_stride + q * kLanes<T>, sum[b][q]);
}

// gradient[r][o] = sum over b of x[b][r] dy[b][o], for R inputs and Q vectors of outputs.
template <class T, int R, int Q>
void gradient_tile(const T* x, int x_stride, const T* dy, int dy_stride, int images, T* gradient, int width) {
  Vec<T> sum[R][Q] = {};
  for (int b = 0; b < images; b++, x += x_stride, dy += dy_stride) {
    Vec<T> value[R];
    for (int r = 0; r < R; r++) value[r] = broadcast(x[r]);
    for (int q = 0; q < Q; q++) {
      const Vec<T> d = load(dy + q * kLanes<T>);
      for (int r = 0; r < R; r++) sum[r][q] += value[r] * d;
    }
  }
  for (int r = 0; r < R; r++)
    for (int q = 0; q < Q; q++) store(gradient + r * width + q * kLanes<T>, sum[r][q]);
}

// dx[b][r] = sum over o of dy[b][o] w[r][o], for two images and half a vector's lanes of inputs: as many sums as lanes.
// The second image may be the first again.
template <class T>
void input_gradient_tile(const T* dy0, const T* dy1, const T* w, int width, T* dx0, T* dx1, int count) {
  constexpr int L = kLanes<T>, kInputs = L / 2;
  Vec<T> sum[L] = {};
  for (int o = 0; o < width; o += L) {
    const Vec<T> d0 = load(dy0 + o), d1 = load(dy1 + o);
    for (int r = 0; r < kInputs; r++) {
      const Vec<T> row = load(w + r * width + o);
      sum[r] += d0 * row;
      sum[kInputs + r] += d1 * row;
    }
  }
  T sums[L];
  store(sums, sums_of_lanes<T>(sum));
  for (int r = 0; r < count; r++) {
    dx0[r] = sums[r];
    dx1[r] = sums[kInputs + r];
  }
}

}  // namespace

template <class T>
class Linear : public Layer<T> {
 public:
  Linear(const Context<T>& context, const LenetLayer& spec, bool learns)
      : Layer<T>(context, spec, learns), inputs_(spec.inputs), width_(padded<T>(spec.outputs)) {}

  void allocate(Arena& arena) override {
    weight_.allocate(arena, size_t(round_up(inputs_, kRows)) * width_, this->context_.optimizer, this->learns_);
    bias_.allocate(arena, width_, this->context_.optimizer, this->learns_);
    gradient_ = arena.array<T>(size_t(this->context_.members) * kRows * width_);
  }

  void pack() override {
    weight_.load(this->spec_.weight, weight_map());
    bias_.load(this->spec_.bias, in_order(this->spec_.outputs));
  }

  void unpack() override {
    if (!this->learns_) return;
    weight_.save(this->spec_.weight, weight_map());
    bias_.save(this->spec_.bias, in_order(this->spec_.outputs));
  }

  void forward(Schedule& schedule) override {
    schedule.barrier();
    schedule.columns(this->spec_.outputs, kLanes<T>, [this](const Step& step, Range columns, const Worker&) {
      // A row of weights is read once for so many images; the sums fill the registers.
      constexpr int kImages = kRegisters == 32 ? 8 : 4, kVectors = 3;
      const int vectors = (columns.end - columns.begin + kLanes<T> - 1) / kLanes<T>;
      const int part = even_part(vectors, kVectors), images = even_part(step.images, kImages);
      for (int v = 0; v < vectors; v += part)
        with_constant<kVectors>(vectors - v < part ? vectors - v : part, [&](auto q) {
          const int o = columns.begin + v * kLanes<T>;
          for (int b = 0; b < step.images; b += images)
            with_constant<kImages>(step.images - b < images ? step.images - b : images, [&](auto count) {
              forward_tile<T, count, q>(in->image(b), in->stride, weight_.value + o, width_, inputs_, bias_.value + o,
                                        out->image(b) + o, out->stride);
            });
        });
    });
  }

  void backward(Schedule& schedule) override {
    if (!this->learns_) return;
    schedule.barrier();
    schedule.columns(inputs_, kLanes<T>, [this](const Step& step, Range rows, const Worker& worker) {
      const auto& optimizer = this->context_.optimizer;
      const auto rates = optimizer.rates(weight_, step.learning_rate);
      T* const gradient = gradient_ + size_t(worker.index) * kRows * width_;
      for (int i = rows.begin; i < rows.end; i += kRows) {
        const int count = rows.end - i < kRows ? rows.end - i : kRows;
        // The input's gradient comes first: it is that of the weights before their update.
        if (in->needs_gradient) input_gradient(step.images, i, count);
        weight_gradient(step.images, i, count, gradient);
        optimizer.update(weight_, rates, size_t(i) * width_, count * width_, gradient);
      }
      if (rows.begin == 0 && this->spec_.bias.value) {
        std::memset(gradient, 0, size_t(width_) * sizeof(T));
        for (int b = 0; b < step.images; b++) {
          const T* const dy = out->image_gradient(b);
          for (int o = 0; o < width_; o++) gradient[o] += dy[o];
        }
        optimizer.update(bias_, optimizer.rates(bias_, step.learning_rate), 0, width_, gradient);
      }
    });
  }

  void count_step() override {
    if (!this->learns_) return;
    weight_.steps++;
    bias_.steps++;
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  static constexpr int kRows = kLanes<T>;

  void weight_gradient(int images, int i, int count, T* gradient) {
    constexpr int kTileRows = 4, kVectors = kRegisters == 32 ? 5 : 3;
    const int vectors = width_ / kLanes<T>, part = even_part(vectors, kVectors);
    for (int r = 0; r < count; r += kTileRows)
      with_constant<kTileRows>(count - r, [&](auto rows) {
        for (int v = 0; v < vectors; v += part)
          with_constant<kVectors>(vectors - v < part ? vectors - v : part, [&](auto q) {
            const int o = v * kLanes<T>;
            gradient_tile<T, rows, q>(in->image(0) + i + r, in->stride, out->image_gradient(0) + o, out->stride, images,
                                      gradient + r * width_ + o, width_);
          });
      });
  }

  // Rows past the last input are zero.
  void input_gradient(int images, int i, int count) {
    constexpr int kInputs = kLanes<T> / 2;
    for (int b = 0; b < images; b += 2) {
      const int other = b + 1 < images ? b + 1 : b;
      for (int r = 0; r < count; r += kInputs)
        input_gradient_tile(out->image_gradient(b), out->image_gradient(other), weight_.value + size_t(i + r) * width_,
                            width_, in->image_gradient(b) + i + r, in->image_gradient(other) + i + r,
                            count - r < kInputs ? count - r : kInputs);
    }
  }

  // Theirs is [outputs][units], with units in PyTorch's order.
  auto weight_map() const {
    return [this](auto each) {
      for (int i = 0; i < inputs_; i++)
        for (int o = 0, unit = in->layout.unit(i); o < this->spec_.outputs; o++)
          each(size_t(o) * inputs_ + unit, size_t(i) * width_ + o);
    };
  }

  const int inputs_, width_;
  Parameter<T> weight_;  // [inputs][width]
  Parameter<T> bias_;    // [width]
  T* gradient_ = nullptr;  // [members][kRows][width]
};

template <class T>
LayerPointer<T> make_linear(const Context<T>& context, const LenetLayer& spec, bool learns) {
  return std::make_unique<Linear<T>>(context, spec, learns);
}

template LayerPointer<float> make_linear(const Context<float>&, const LenetLayer&, bool);
template LayerPointer<double> make_linear(const Context<double>&, const LenetLayer&, bool);

}  // namespace lenet
