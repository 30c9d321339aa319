// ConvBlock's backward pass.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "blob.h"
#include "conv_backward_dense.h"
#include "conv_backward_sparse.h"
#include "conv_block.h"
#include "schedule.h"
#include "team.h"
#include "vector.h"

namespace lenet {

template <class T, bool Planar>
void ConvBlock<T, Planar>::backward(Schedule& schedule) {
  if (norm_trained_) {
    schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
      norm_->clear_slice(slice.index);
      for (int n = slice.images.begin; n < slice.images.end; n++) norm_sums(n, slice.index, scratch_[worker.index]);
    });
    schedule.columns(Split::features<T>(weights_.outputs), [this](const Step& step, Range channels, const Worker&) {
      norm_->use_gradients(channels, step, height_ * width_);
      norm_->update(this->context_.optimizer, step, channels);
    });
  }
  if (!this->trained_) return;
  schedule.images([this](const Step&, const Slice& slice, const Worker& worker) {
    in->restore(slice.images);
    if (winograd_gradients_) return winograd_backward(slice, worker);
    weights_.clear(slice.index);
    for (int n = slice.images.begin; n < slice.images.end; n++) {
      if (in->needs_gradient) std::memset(in->image_gradient(n), 0, size_t(in->stride) * sizeof(T));
      if (dense_)
        image_dense_backward(n, slice.index, scratch_[worker.index]);
      else
        image_sparse_backward(n, slice.index, scratch_[worker.index]);
    }
  });
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::update(Schedule& schedule) {
  if (!this->trained_) return;
  weights_.update(schedule, this->context_.optimizer);
  if (winograd_) winograd_->update(schedule);
}

// ---- After a max pool without batch norm: only winners have a gradient.

template <class T, bool Planar>
void ConvBlock<T, Planar>::image_sparse_backward(int n, int slice, const Scratch& scratch) {
  const Layout &from = in->layout, &to = out->layout;
  const int outputs = weights_.outputs, columns = to.width, positions = to.height * to.width;
  const int row = from.row();

  // The gradient before the activation, without the border of `out`.
  for (int y = 0; y < to.height; y++) {
    const T* const dy = out->image_gradient(n) + to.at(y, 0);
    const T* const value = out->image(n) + to.at(y, 0);
    T* const g = scratch.slopes + y * columns * outputs;
    for (int i = 0; i < columns * outputs; i += L)
      store_first(g + i, passed(load(dy + i), load(value + i)), columns * outputs - i);
  }
  conv_bias_gradient(scratch.slopes, positions, outputs, weights_.bias_gradient(slice));

  if constexpr (Planar) input_->rows(n, scratch.rows);
  const T* const x = Planar ? scratch.rows : in->image(n);
  // Offsets from the inputs' corner under a pool window to the corner of each of its four outputs' windows.
  const int32_t look[4] = {0, from.channels, row, row + from.channels};
  const Winners<T> by_channel = {scratch.winners, scratch.counts, positions};
  for (int c = 0; c < outputs; c++) {
    Winner<T>* const list = by_channel.list(c);
    int open = 0;
    for (int py = 0; py < to.height; py++) {
      const uint8_t* winner = winners(n, py) + (Planar ? c * half_ : c);
      const T* g = scratch.slopes + py * columns * outputs + c;
      int32_t corner = 2 * py * row;
      for (int px = 0; px < columns; px++, corner += 2 * from.channels, g += outputs) {
        list[open] = {*g, corner + look[*winner]};
        open += has_bits(*g);
        winner += Planar ? 1 : weights_.width;
      }
    }
    scratch.counts[c] = open;
  }
  winners_weight_gradient(weights_, by_channel, x, row, weights_.weight_gradient(slice));
  if (in->needs_gradient) sparse_input_gradient(n, scratch);
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::sparse_input_gradient(int n, const Scratch& scratch) const {
  const Layout &from = in->layout, &to = out->layout;
  const int outputs = weights_.outputs;
  const Blocks blocks(outputs);
  int32_t look[4];
  for (int k = 0; k < 4; k++) look[k] = int32_t(weights_.at_winner(0, k >> 1, k & 1) - weights_.shifted);
  const int32_t channel = (weights_.kernel + 2) * weights_.shifted_row;
  const Winners<T> by_window = {scratch.winners, scratch.counts, blocks.size};
  int window = 0;
  for (int first = 0; first < outputs; first += blocks.size) {
    const int last = std::min(first + blocks.size, outputs);
    const T* g = scratch.slopes;
    for (int py = 0; py < to.height; py++)
      for (int px = 0; px < to.width; px++, window++, g += outputs) {
        const uint8_t* const winner = winners(n, py) + px * weights_.width;
        Winner<T>* const list = by_window.list(window);
        int open = 0;
        for (int c = first; c < last; c++) {
          list[open] = {g[c], c * channel + look[winner[c]]};
          open += has_bits(g[c]);
        }
        scratch.counts[window] = open;
      }
  }
  winners_input_gradient(weights_, by_window, blocks.count, to.height, to.width, in->image_gradient(n), from.row());
}

// ---- After an average pool, with batch norm, or by Winograd's algorithm: every output has a gradient.

// Writes the gradient of image n's outputs, whose rows are dz_row apart, and adds to the bias's.
template <class T, bool Planar>
void ConvBlock<T, Planar>::output_gradient(int n, int slice, const Scratch& scratch, T* dz, int dz_row) const {
  T* const sums = scratch.sums;
  if (!norm_trained_) std::memset(sums, 0, size_t(weights_.outputs) * L * sizeof(T));
  for (int py = 0; py < out->layout.height; py++) {
    T* const rows = dz + 2 * py * dz_row;
    each_gradient(n, py, scratch, [&](const Group& group, const V z[4], V dy[4]) {
      if (norm_trained_) {
        const V scale = by_channel(norm_->scale, group.channel), by_z = by_channel(norm_->by_x, group.channel);
        const V constant = by_channel(norm_->constant, group.channel);
        for (int k = 0; k < 4; k++) dy[k] = scale * dy[k] + (by_z * z[k] + constant);
      } else {
        T* const sum = sums + group.channel * (Planar ? L : 1);
        store(sum, load(sum) + (dy[0] + dy[1] + (dy[2] + dy[3])));
      }
      for (int k = 0; k < 4; k++) store(rows + group.z + (k >> 1) * dz_row + (k & 1) * right_, dy[k]);
    });
  }
  if (norm_trained_)
    norm_rest(n, dz, dz_row);  // the gradient of a bias before batch norm is exactly zero
  else
    for (int c = 0; c < weights_.outputs; c++)
      weights_.bias_gradient(slice)[c] += Planar ? sum_of_lanes<T>(load(sums + c * L)) : sums[c];
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::winograd_backward(const Slice& slice, const Worker& worker) {
  const Maps<T> dz = winograd_->gradients(worker);
  weights_.clear_bias(slice.index);
  slice.in_groups(winograd_->group(), [&](int n, int images) {
    for (int i = 0; i < images; i++) output_gradient(n + i, slice.index, scratch_[worker.index], dz.at(i, 0, 0), dz.row);
    winograd_->backward(*in, n, images, n == slice.images.begin, worker);
  });
  winograd_->finish(weights_.weight_gradient(slice.index), worker);
}

template <class T, bool Planar>
void ConvBlock<T, Planar>::image_dense_backward(int n, int slice, const Scratch& scratch) {
  const Layout& from = in->layout;
  T* const dz = scratch.z;
  output_gradient(n, slice, scratch, dz, z_row_);
  if constexpr (Planar) input_->rows(n, scratch.rows);
  const T* const x = Planar ? scratch.rows : in->image(n);
  T* const dw = weights_.weight_gradient(slice);
  if constexpr (Planar) {
    for (int odd = 0; odd < 2; odd++) {
      const Gradients<T> columns = {dz + odd * half_, height_, (width_ + 1 - odd) / 2, z_row_, 1, 2 * half_};
      conv_weight_gradient(weights_, x + odd * from.channels, from.row(), 2 * from.channels, columns, dw);
    }
  } else {
    const Gradients<T> columns = {dz, height_, width_, z_row_, weights_.width, 1};
    conv_weight_gradient(weights_, x, from.row(), from.channels, columns, dw);
    if (in->needs_gradient) conv_input_gradient(weights_, in->image_gradient(n), from.row(), columns);
  }
}

template <class T, bool Planar>
template <class Each>
void ConvBlock<T, Planar>::each_gradient(int n, int py, const Scratch& scratch, Each each) const {
  typedef uint8_t Bytes __attribute__((vector_size(L)));
  using Mask = decltype(V{} < V{});
  const Layout& to = out->layout;
  const T *dy_row = out->image_gradient(n) + to.at(py, 0), *y_row = out->image(n) + to.at(py, 0);
  if constexpr (Planar) {
    // These rows are zero after their last column, so the gradient of the meaningless values there is zero too.
    T *const dy_planar = scratch.pooled + pooled_row_, *const y_planar = dy_planar + pooled_row_;
    gather_row(to, out->image_gradient(n), py, dy_planar);
    gather_row(to, out->image(n), py, y_planar);
    dy_row = dy_planar;
    y_row = y_planar;
  }
  const T* const z_rows = keeps_z_ ? z_image(n) + 2 * py * z_row_ : nullptr;
  each_group([&](const Group& group) {
    V z[4] = {}, dy[4];
    if (z_rows) {
      const T* const at = z_rows + group.z;
      for (int k = 0; k < 4; k++) z[k] = load(at + (k >> 1) * z_row_ + (k & 1) * right_);
    }
    if (maximum_) {
      Bytes bytes;
      std::memcpy(&bytes, winners(n, py) + group.winner, sizeof bytes);
      const Mask winner = __builtin_convertvector(bytes, Mask);
      const V g = passed(load(dy_row + group.pooled), load(y_row + group.pooled));
      for (int k = 0; k < 4; k++) dy[k] = winner == k ? g : V{};
    } else {
      const V g = load(dy_row + group.pooled) * T(0.25);
      for (int k = 0; k < 4; k++) {
        V y = z[k];
        if (norm_)
          y = activated(y * by_channel(norm_->scale, group.channel) + by_channel(norm_->shift, group.channel));
        dy[k] = passed(g, y);
      }
    }
    each(group, z, dy);
  });
}

// Copies the pooled row py of an image from channels last to [outputs][half], the layout of pool_row's groups.
template <class T, bool Planar>
void ConvBlock<T, Planar>::gather_row(const Layout& layout, const T* image, int py, T* to) const {
  const T* row = image + layout.at(py, 0);
  const int outputs = weights_.outputs;
  for (int x = 0; x < layout.width; x++, row += outputs)
    for (int c = 0; c < outputs; c++) to[c * half_ + x] = row[c];
}

// ---- Batch norm: y = scale * z + shift, with scale and shift from the batch's mean and variance.

// Adds one image's part to the gradients of the norm's weight and bias.
template <class T, bool Planar>
void ConvBlock<T, Planar>::norm_sums(int n, int slice, const Scratch& scratch) const {
  const int outputs = weights_.outputs;
  T *const dbias = scratch.sums, *const dweight = dbias + size_t(outputs) * L;
  std::memset(dbias, 0, size_t(2) * outputs * L * sizeof(T));
  for (int py = 0; py < out->layout.height; py++)
    each_gradient(n, py, scratch, [&](const Group& group, const V z[4], V dy[4]) {
      const V mean = by_channel(norm_->mean, group.channel);
      T* const b = dbias + group.channel * (Planar ? L : 1);
      T* const w = dweight + group.channel * (Planar ? L : 1);
      V db = load(b), dw = load(w);
      for (int k = 0; k < 4; k++) {
        db += dy[k];
        dw += dy[k] * (z[k] - mean);
      }
      store(b, db);
      store(w, dw);
    });
  T *const dweights = norm_->slice_dweight(slice), *const dbiases = norm_->slice_dbias(slice);
  for (int c = 0; c < outputs; c++) {
    dbiases[c] += Planar ? sum_of_lanes<T>(load(dbias + c * L)) : dbias[c];
    dweights[c] += Planar ? sum_of_lanes<T>(load(dweight + c * L)) : dweight[c];
  }
}

// The gradient of an odd last row and column: the pool ignores them, but they are part of the batch's statistics.
template <class T, bool Planar>
void ConvBlock<T, Planar>::norm_rest(int n, T* dz, int dz_row) const {
  const T* const z = z_image(n);
  const auto fill = [&](int y, int x) {
    for (int c = 0; c < weights_.outputs; c++) {
      const int at = Planar ? c * 2 * half_ + (x & 1) * half_ + x / 2 : x * weights_.width + c;
      dz[y * dz_row + at] = norm_->by_x[c] * z[y * z_row_ + at] + norm_->constant[c];
    }
  };
  if (width_ & 1)
    for (int y = 0; y < height_; y++) fill(y, width_ - 1);
  if (height_ & 1)
    for (int x = 0; x < width_; x++) fill(height_ - 1, x);
}

template class ConvBlock<float, false>;
template class ConvBlock<float, true>;
template class ConvBlock<double, false>;
template class ConvBlock<double, true>;

}  // namespace lenet
