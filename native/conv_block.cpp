// ConvBlock's memory and forward pass.
#include "conv_block.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "conv_forward.h"
#include "optimizer.h"

namespace lenet {

template <class T, bool Planar>
ConvBlock<T, Planar>::ConvBlock(const Context<T>& context, const BlockSpec& spec, Input<T>* input)
    : Layer<T>(context, *spec.conv, context.training && spec.conv->index >= context.call.frozen),
      block_(spec),
      input_(input),
      weights_(*spec.conv, this->trained_),
      norm_(spec.norm ? std::make_unique<ChannelNorm<T>>(*spec.norm) : nullptr),
      winograd_(!Planar && winograd_pays(weights_) ? std::make_unique<WinogradPasses<T>>(weights_) : nullptr),
      norm_trained_(spec.norm && context.training && spec.norm->index >= context.call.frozen),
      maximum_(spec.pool->kind == kMaxPool),
      relu_(spec.activation->kind == kRelu) {
  if (input_) input_->serve_pixels();
}

template <class T, bool Planar>
Needs ConvBlock<T, Planar>::needs() const {
  return {this->trained_ ? Needs::kAgain : Needs::kOnce, this->trained_ || norm_trained_ ? Needs::kKept : Needs::kOnce,
          !norm_trained_, true};
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::allocate(Arena& arena) {
  const Layout& from = in->layout;
  const int images = this->context_.most_images, outputs = weights_.outputs, width = weights_.width;
  height_ = from.height + 2 * from.border_y - weights_.kernel + 1;
  width_ = from.width + 2 * from.border_x - weights_.kernel + 1;
  planes_ = Planes::of<T>(from.height + 2 * from.border_y, from.width + 2 * from.border_x);
  half_ = padded<T>((width_ + 1) / 2);
  z_row_ = Planar ? outputs * 2 * half_ : (width_ + 1) * width;
  right_ = Planar ? half_ : width;
  pooled_row_ = Planar ? outputs * half_ : out->layout.width * width;
  const bool trained = this->trained_ || norm_trained_;
  keeps_winners_ = trained && maximum_;
  keeps_z_ = trained && (norm_trained_ || !maximum_);
  winograd_gradients_ = this->trained_ && winograd_ && (keeps_z_ || winograd_beats_winners(weights_, height_, width_));
  dense_ = keeps_z_ || winograd_gradients_;

  weights_.allocate(arena, this->context_, !Planar, this->trained_ && !dense_ && in->needs_gradient);
  if (norm_) norm_->allocate(arena, this->context_, norm_trained_);
  if (winograd_)
    winograd_->allocate(arena, this->context_.threads, *in, {height_, width_, width}, winograd_gradients_);
  if (keeps_z_) z_ = arena.array<T>(size_t(images) * z_image_size());
  if (keeps_winners_) winners_ = arena.array<uint8_t>(size_t(images) * out->layout.height * pooled_row_);
  if (norm_trained_) norm_->allocate_measures(arena, images);

  scratch_.resize(this->context_.threads);
  for (Scratch& scratch : scratch_) {
    if (Planar) {
      scratch.words = arena.array<uint32_t>(input_->words());
      scratch.planes = arena.array<T>(size_t(from.channels) * planes_.plane() + L);
      scratch.pooled = arena.array<T>(3 * pooled_row_);
      if (this->trained_) scratch.rows = arena.array<T>(from.template stride<T>());
    }
    const int rows = winograd_ ? (keeps_z_ ? 0 : winograd_->group() * height_) : dense_ ? height_ : 2;
    scratch.z = arena.array<T>(size_t(rows) * z_row_);
    if (dense_) scratch.sums = arena.array<T>(size_t(2) * outputs * L);
    if (trained && !dense_) {
      scratch.slopes = arena.array<T>(padded<T>(out->layout.values()));
      const int windows = out->layout.height * out->layout.width;
      const Blocks blocks(outputs);
      scratch.winners = arena.array<Winner<T>>(size_t(windows) * blocks.count * blocks.size);
      scratch.counts = arena.array<int>(std::max(outputs, windows * blocks.count));
    }
  }
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::pack() {
  weights_.pack();
  if (winograd_) winograd_->pack();
  if (norm_) norm_->pack(in_order(weights_.outputs));
  if (norm_ && !norm_trained_) norm_->use_running({0, weights_.outputs});
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::unpack(int64_t steps) {
  weights_.unpack(steps);
  if (norm_trained_) norm_->unpack(in_order(weights_.outputs), steps);
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::forward(Schedule& schedule) {
  if (!norm_trained_) {
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      slice.in_groups(together(), [&](int n, int images) { convolve_and_pool(n, images, worker); });
    });
    return;
  }
  // Batch norm needs the whole batch before any of it can be pooled.
  schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
    slice.in_groups(together(), [&](int n, int images) {
      convolve_images(n, images, worker, z_image(n));
      for (int i = 0; i < images; i++) measure(n + i);
    });
  });
  schedule.columns(Split::features<T>(weights_.outputs), [this](const Step& step, Range channels, const Worker&) {
    norm_->use_measures(channels, step.images, height_ * width_);
  });
  schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
    for (int n = slice.images.begin; n < slice.images.end; n++) pool_image(n, scratch_[worker.index], z_image(n));
  });
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::convolve_and_pool(int n, int images, const Worker& worker) {
  const Scratch& scratch = scratch_[worker.index];
  T* const z = keeps_z_ ? z_image(n) : scratch.z;
  if (winograd_) {
    convolve_images(n, images, worker, z);
    for (int i = 0; i < images; i++) pool_image(n + i, scratch, z + size_t(i) * z_image_size());
    return;
  }
  if (Planar) input_->planes(n, planes_, scratch.words, scratch.planes);
  for (int py = 0; py < out->layout.height; py++) {
    T* const rows = keeps_z_ ? z + 2 * py * z_row_ : z;
    convolve_rows(n, scratch, 2 * py, 2, rows);
    pool_row(n, py, scratch, rows);
  }
}

// Pools an image's outputs in z.
template <class T, bool Planar>
void ConvBlock<T, Planar>::pool_image(int n, const Scratch& scratch, T* z) {
  for (int py = 0; py < out->layout.height; py++) pool_row(n, py, scratch, z + 2 * py * z_row_);
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::convolve_images(int n, int images, const Worker& worker, T* z) const {
  const Maps<T> maps = {z, size_t(z_image_size()), z_row_, weights_.width};
  if (winograd_) return winograd_->convolve(*in, n, images, maps, weights_.width, worker);
  const Scratch& scratch = scratch_[worker.index];
  if (Planar) input_->planes(n, planes_, scratch.words, scratch.planes);
  convolve_rows(n, scratch, 0, height_, z);
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::convolve_rows(int n, const Scratch& scratch, int first_row, int rows, T* z) const {
  if constexpr (Planar)
    for (int y = first_row; y < first_row + rows; y++, z += z_row_)
      conv_row(weights_, planes_, scratch.planes + y * planes_.row(), z, half_);
  else
    conv_channels(weights_, in->windows(n, first_row), rows, width_, {z, 0, z_row_, weights_.width}, weights_.width);
}

// Normalises, activates and pools two rows of z into the pooled row py.
template <class T, bool Planar>
void ConvBlock<T, Planar>::pool_row(int n, int py, const Scratch& scratch, T* z) {
  typedef uint8_t Bytes __attribute__((vector_size(L)));
  const int below = z_row_, outputs = weights_.outputs;
  T* const to = Planar ? scratch.pooled : out->image(n) + out->layout.at(py, 0);
  uint8_t* const winner_row = keeps_winners_ ? winners(n, py) : nullptr;
  const bool keeps_activated = keeps_z_ && !norm_trained_;
  each_group([&](const Group& group) {
    T* const at = z + group.z;
    V four[4] = {load(at), load(at + right_), load(at + below), load(at + below + right_)};
    if (norm_) {
      const V scale = by_channel(norm_->scale, group.channel), shift = by_channel(norm_->shift, group.channel);
      for (V& value : four) value = value * scale + shift;
    }
    V result;
    if (maximum_) {
      // Of equal values the first wins, as in PyTorch. Vector comparisons give -1 for true. Both activations are
      // monotone, so the maximum is taken first.
      const auto top = four[1] > four[0], bottom = four[3] > four[2];
      const V above = top ? four[1] : four[0], under = bottom ? four[3] : four[2];
      const auto lower = under > above;
      result = activated(lower ? under : above);
      // A comparison with NaN is false, so that only a NaN in the first place is the maximum so far.
      const auto lost = (four[1] != four[1]) | (four[2] != four[2]) | (four[3] != four[3]);
      result = lost ? broadcast(std::numeric_limits<T>::quiet_NaN()) : result;
      if (winner_row) {
        const auto winner = lower ? 2 - bottom : -top;
        const Bytes bytes = __builtin_convertvector(winner, Bytes);
        std::memcpy(winner_row + group.winner, &bytes, sizeof bytes);
      }
    } else {
      for (V& value : four) value = activated(value);
      result = (four[0] + four[1] + (four[2] + four[3])) * T(0.25);
      if (keeps_activated) {
        store(at, four[0]);
        store(at + right_, four[1]);
        store(at + below, four[2]);
        store(at + below + right_, four[3]);
      }
    }
    if (Planar)
      store(to + group.pooled, result);
    else
      store_first(to + group.pooled, result, group.count);
  });
  if constexpr (Planar) {
    T* row = out->image(n) + out->layout.at(py, 0);
    for (int x = 0; x < out->layout.width; x++, row += outputs)
      for (int c = 0; c < outputs; c++) row[c] = to[c * half_ + x];
  }
}

// Mean and sum of squared deviations of one image, by channel. ChannelNorm combines them without loss of precision.
template <class T, bool Planar>
void ConvBlock<T, Planar>::measure(int n) {
  const int outputs = weights_.outputs, width = weights_.width;
  T *const mean = norm_->image_mean(n), *const squares = norm_->image_squares(n);
  const T* const z = z_image(n);
  const T count = T(height_ * width_);
  if constexpr (Planar) {
    alignas(kVectorBytes) T lanes[L];
    for (int i = 0; i < L; i++) lanes[i] = T(i);
    const V lane = load(lanes);
    for (int c = 0; c < outputs; c++) {
      // The values after a row's columns are meaningless and must not be summed.
      const auto each = [&](auto use) {
        for (int odd = 0; odd < 2; odd++)
          for (int j = 0, columns = (width_ + 1 - odd) / 2; j < columns; j += L) {
            const auto used = lane < T(columns - j);
            for (int y = 0; y < height_; y++) use(load(z + y * z_row_ + (c * 2 + odd) * half_ + j), used);
          }
      };
      V sum = {}, square = {};
      each([&](V value, auto used) { sum += used ? value : V{}; });
      mean[c] = sum_of_lanes<T>(sum) / count;
      each([&](V value, auto used) {
        const V deviation = used ? value - mean[c] : V{};
        square += deviation * deviation;
      });
      squares[c] = sum_of_lanes<T>(square);
    }
  } else {
    for (int c = 0; c < width; c += L) {
      V sum = {}, square = {};
      for (int y = 0; y < height_; y++)
        for (int x = 0; x < width_; x++) sum += load(z + y * z_row_ + x * width + c);
      const V middle = sum / count;
      for (int y = 0; y < height_; y++)
        for (int x = 0; x < width_; x++) {
          const V deviation = load(z + y * z_row_ + x * width + c) - middle;
          square += deviation * deviation;
        }
      store(mean + c, middle);
      store(squares + c, square);
    }
  }
}

// Planar where vectors of positions leave fewer lanes unused than vectors of channels.
template <class T>
LayerPointer<T> make_conv_block(const Context<T>& context, const BlockSpec& spec, Input<T>* input) {
  const int outputs = spec.conv->outputs;
  const int columns = input ? context.call.width + 2 * spec.conv->pad_x - spec.conv->kernel + 1 : 0, pairs = columns / 2;
  if (input && pairs * padded<T>(outputs) > outputs * padded<T>(pairs))
    return std::make_unique<ConvBlock<T, true>>(context, spec, input);
  return std::make_unique<ConvBlock<T, false>>(context, spec, nullptr);
}

template LayerPointer<float> make_conv_block(const Context<float>&, const BlockSpec&, Input<float>*);
template LayerPointer<double> make_conv_block(const Context<double>&, const BlockSpec&, Input<double>*);

template class ConvBlock<float, false>;
template class ConvBlock<float, true>;
template class ConvBlock<double, false>;
template class ConvBlock<double, true>;

}  // namespace lenet
