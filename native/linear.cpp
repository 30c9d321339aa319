// Linear. Row i of the weights holds those from input i to all outputs, padded to vectors, so that the forward pass and
// the weight's gradient both run along a row. The gradient of a row is computed and used to update the row while the
// row is in the L1 cache; only for Muon is it kept. All passes are split by rows, so that a thread's weights and their optimizer
// state stay in its core's cache. The forward pass computes one sum for each part of the rows and then adds these sums
// up.
#include <cstddef>
#include <cstring>
#include <optional>

#include "api.h"
#include "arena.h"
#include "blob.h"
#include "layer.h"
#include "optimizer.h"
#include "orthogonal.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

namespace {

// y[b][o] = sum over i of x[b][i] w[i][o], for Images rows of x and Q vectors of outputs.
template <class T, int Images, int Q>
void product_tile(const T* x, int x_stride, const T* w, int w_stride, int inputs, T* y, int y_stride) {
  Vec<T> sum[Images][Q] = {};
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

}  // namespace

template <class T>
class Linear : public Layer<T> {
 public:
  Linear(const Context<T>& context, const LenetLayer& spec, bool trained)
      : Layer<T>(context, spec, trained),
        inputs_(spec.inputs),
        width_(padded<T>(spec.outputs)),
        rows_(Split::features<T>(spec.inputs)) {}

  void allocate(Arena& arena) override {
    weight_.allocate(arena, size_t(round_up(inputs_, kRows)) * width_, this->context_.optimizer, this->trained_);
    bias_.allocate(arena, width_, this->context_.optimizer, this->trained_);
    sums_ = arena.array<T>(size_t(rows_.parts) * this->context_.most_images * width_);
    if (!this->trained_) return;
    gradient_ = arena.array<T>(size_t(this->context_.threads) * kRows * width_);
    if (in->needs_gradient) turned_ = arena.array<T>(size_t(this->context_.threads) * kRows * width_);
    if (!this->context_.orthogonal(this->spec_)) return;
    sgd_direction_ = arena.array<T>(size_t(this->spec_.outputs) * padded<T>(inputs_));
    if (!orthogonal_) orthogonal_.emplace(this->spec_.outputs, padded<T>(inputs_), inputs_);
    orthogonal_->allocate(arena, sgd_direction_);
  }

  void pack() override {
    weight_.load(this->spec_.weight, weight_map());
    bias_.load(this->spec_.bias, in_order(this->spec_.outputs));
  }

  void unpack(int64_t steps) override {
    if (!this->trained_) return;
    weight_.save(this->spec_.weight, weight_map(), steps);
    bias_.save(this->spec_.bias, in_order(this->spec_.outputs), steps);
  }

  void forward(Schedule& schedule) override {
    schedule.columns(rows_, [this](const Step& step, Range rows, const Worker&) {
      for (int part = 0; part < rows_.parts; part++)
        if (rows_.edge(part) >= rows.begin && rows_.edge(part) < rows.end) sum_part(step.images, part);
    });
    schedule.barrier();
    const Split outputs = Split::features<T>(this->spec_.outputs);
    if (outputs.parts > 1)
      schedule.columns(outputs, [this](const Step& step, Range columns, const Worker&) {
        for (int n = 0; n < step.images; n++) add_parts(n, columns);
      });
    else  // too few to split; by images, they form one stage with the loss
      schedule.images([this](const Step&, const Slice& slice, const Worker&) {
        for (int n = slice.images.begin; n < slice.images.end; n++) add_parts(n, {0, this->spec_.outputs});
      });
  }

  void backward(Schedule& schedule) override {
    if (!this->trained_) return;
    schedule.barrier();
    schedule.columns(rows_, [this](const Step& step, Range rows, const Worker& worker) {
      const auto& optimizer = this->context_.optimizer;
      const auto rates = optimizer.rates(weight_, step);
      T* const gradient = gradient_ + size_t(worker.index) * kRows * width_;
      for (int i = rows.begin; i < rows.end; i += kRows) {
        const int count = rows.end - i < kRows ? rows.end - i : kRows;
        // The input's gradient needs the weights before their update.
        if (in->needs_gradient) input_gradient(step.images, i, turned_ + size_t(worker.index) * kRows * width_);
        weight_gradient(step.images, i, count, gradient);
        if (orthogonal_)
          keep_direction(i, count, gradient);
        else
          optimizer.update(weight_, rates, size_t(i) * width_, count * width_, gradient);
      }
      if (rows.begin == 0 && this->spec_.bias.value) {
        std::memset(gradient, 0, size_t(width_) * sizeof(T));
        for (int b = 0; b < step.images; b++) {
          const T* const dy = out->image_gradient(b);
          for (int o = 0; o < width_; o++) gradient[o] += dy[o];
        }
        optimizer.update(bias_, optimizer.rates(bias_, step), 0, width_, gradient);
      }
    });
  }

  void update(Schedule& schedule) override {
    if (!orthogonal_) return;
    orthogonal_->add_phases(schedule);
    schedule.columns(rows_, [this](const Step& step, Range rows, const Worker&) {
      const T rate = T(step.learning_rate);
      for (int i = rows.begin; i < rows.end; i++)
        for (int o = 0; o < this->spec_.outputs; o++)
          weight_.value[size_t(i) * width_ + o] -= rate * orthogonal_->direction()[size_t(o) * padded<T>(inputs_) + i];
    });
  }

 private:
  using Layer<T>::in;
  using Layer<T>::out;

  static constexpr int kRows = kLanes<T>;

  // Sums over one part of the inputs, for all outputs and images.
  void sum_part(int images, int part) {
    // A row of weights is read once for kImages images; their sums fill the registers.
    constexpr int kImages = kRegisters == 32 ? 8 : 4, kVectors = 3;
    const int vectors = width_ / kLanes<T>, begin = rows_.edge(part), count = rows_.edge(part + 1) - begin;
    const int together = even_part(vectors, kVectors), some = even_part(images, kImages);
    for (int v = 0; v < vectors; v += together)
      with_constant<kVectors>(vectors - v < together ? vectors - v : together, [&](auto q) {
        for (int b = 0; b < images; b += some)
          with_constant<kImages>(images - b < some ? images - b : some, [&](auto rows) {
            const int o = v * kLanes<T>;
            product_tile<T, rows, q>(in->image(b) + begin, in->stride, weight_.value + size_t(begin) * width_ + o,
                                     width_, count, part_sums(part, b) + o, width_);
          });
      });
  }

  void add_parts(int n, Range columns) {
    for (int o = columns.begin; o < columns.end; o += kLanes<T>) {
      Vec<T> sum = load(bias_.value + o);
      for (int part = 0; part < rows_.parts; part++) sum += load(part_sums(part, n) + o);
      store(out->image(n) + o, sum);
    }
  }

  T* part_sums(int part, int n) const { return sums_ + (size_t(part) * this->context_.most_images + n) * width_; }

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

  // Turns the gradient of `count` rows from row i on into SGD's direction, with a row for each output.
  void keep_direction(int i, int count, T* gradient) {
    this->context_.optimizer.direct(weight_, size_t(i) * width_, count * width_, gradient);
    for (int o = 0; o < this->spec_.outputs; o++)
      for (int r = 0; r < count; r++) sgd_direction_[size_t(o) * padded<T>(inputs_) + i + r] = gradient[r * width_ + o];
  }

  // Of the inputs from i on, as many as a vector has lanes; the weights of those after the last are zero, and the memory
  // after an image has room for them. turned: their weights, [outputs][kRows].
  void input_gradient(int images, int i, T* __restrict turned) {
    const int outputs = this->spec_.outputs;
    const T* __restrict const weights = weight_.value + size_t(i) * width_;
    for (int o = 0; o < outputs; o++)
      for (int r = 0; r < kRows; r++) turned[o * kRows + r] = weights[r * width_ + o];
    constexpr int kImages = tile_positions(1);
    const int some = even_part(images, kImages);
    for (int b = 0; b < images; b += some)
      with_constant<kImages>(images - b < some ? images - b : some, [&](auto rows) {
        product_tile<T, rows, 1>(out->image_gradient(b), out->stride, turned, kRows, outputs, in->image_gradient(b) + i,
                                 in->stride);
      });
  }

  // From PyTorch's [outputs][units] to [inputs][width].
  auto weight_map() const {
    return [this](auto each) {
      for (int i = 0; i < inputs_; i++)
        for (int o = 0, unit = in->layout.unit(i); o < this->spec_.outputs; o++)
          each(size_t(o) * inputs_ + unit, size_t(i) * width_ + o);
    };
  }

  const int inputs_, width_;
  const Split rows_;
  Parameter<T> weight_;  // [inputs][width]
  Parameter<T> bias_;    // [width]
  T* sums_ = nullptr;      // [parts][images][width]: sums over each part of the inputs
  T* gradient_ = nullptr;  // [threads][kRows][width]
  T* turned_ = nullptr;    // [threads][outputs, padded][kRows]
  std::optional<Orthogonal<T>> orthogonal_;  // if the optimizer is Muon
  T* sgd_direction_ = nullptr;               // [outputs][inputs, padded]: for it
};

LENET_DEFINE_LAYER(make_linear, Linear)

}  // namespace lenet
