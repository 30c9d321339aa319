#include "input.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "team.h"

namespace lenet {

// Reflects an index outside [0, size) at the border pixel, which is not repeated.
static int reflected(int i, int size) {
  if (i < 0) i = -i;
  return i >= size ? 2 * (size - 1) - i : i;
}

template <class T>
Input<T>::Input(const LenetCall& call, const LenetLayer* normalize, Blob<T>& out)
    : call_(call), normalize_(normalize), out_(out) {
  out.layout.channels = call.channels;
  if (normalize) {
    out.layout.height = call.height;
    out.layout.width = call.width;
  }
}

template <class T>
void Input<T>::allocate(Arena& arena, const Context<T>& context) {
  if (!normalize_) return;
  scale_ = arena.array<T>(call_.width * call_.channels);
  shift_ = arena.array<T>(call_.width * call_.channels);
  augmented_ = arena.array<uint8_t>(size_t(context.most_images) * augmented_stride());
}

template <class T>
void Input<T>::pack() {
  if (!normalize_) return;
  const T* const mean = static_cast<const T*>(normalize_->mean);
  const T* const deviation = static_cast<const T*>(normalize_->variance);
  for (int i = 0; i < call_.width * call_.channels; i++) {
    scale_[i] = 1 / (255 * deviation[i % call_.channels]);
    shift_[i] = -mean[i % call_.channels] / deviation[i % call_.channels];
  }
}

template <class T>
void Input<T>::forward(Schedule& schedule) {
  schedule.images([this](const Step& step, const Slice& slice, const Worker&) {
    for (int n = slice.images.begin; n < slice.images.end; n++) {
      if (!normalize_) {
        features(step.begin + n, out_.image(n));
        continue;
      }
      augment(step.begin + n, augmented_ + size_t(n) * augmented_stride());
      if (!serves_pixels_) rows(n, out_.image(n));
    }
  });
}

template <class T>
void Input<T>::features(int64_t position, T* out) const {
  const int64_t index = call_.order ? call_.order[position] : position;
  const float* const features = call_.features + index * call_.channels;
  for (int i = 0; i < call_.channels; i++) out[i] = T(features[i]);
}

// Flips, then shifts: pixel x of the result is pixel reflected(x + dx) of the flipped row.
template <class T>
void Input<T>::augment(int64_t position, uint8_t* augmented) const {
  const int width = call_.width, channels = call_.channels, row = width * channels;
  const int64_t index = call_.order ? call_.order[position] : position;
  const uint8_t* const pixels = call_.pixels + index * call_.height * row;
  const bool flip = call_.flips && call_.flips[position];
  const int dy = call_.shifts ? call_.shifts[2 * position] : 0;
  const int dx = call_.shifts ? call_.shifts[2 * position + 1] : 0;
  // Columns [begin, end) of the result are [begin + dx, end + dx) of the flipped row; the others are reflected.
  const int begin = dx < 0 ? -dx : 0, end = dx > 0 ? width - dx : width;
  for (int y = 0; y < call_.height; y++, augmented += row) {
    const uint8_t* const from = pixels + reflected(y + dy, call_.height) * row;
    const auto copy = [&](int x) {
      const int column = reflected(x + dx, width), source = flip ? width - 1 - column : column;
      for (int c = 0; c < channels; c++) augmented[x * channels + c] = from[source * channels + c];
    };
    for (int x = 0; x < begin; x++) copy(x);
    if (!flip) {
      std::memcpy(augmented + begin * channels, from + (begin + dx) * channels, size_t(end - begin) * channels);
    } else if (channels == 3 && end - begin > 2) {
      // Copies four bytes for three; the next pixel overwrites the fourth. At both ends there may be no fourth byte to
      // read or write.
      copy(begin);
      const uint8_t* source = from + (width - 1 - (begin + 1 + dx)) * 3;
      for (int x = begin + 1; x < end - 1; x++, source -= 3) std::memcpy(augmented + x * 3, source, 4);
      copy(end - 1);
    } else {
      for (int x = begin; x < end; x++) copy(x);
    }
    for (int x = end; x < width; x++) copy(x);
  }
}

template <class T>
void Input<T>::rows(int n, T* out) const {
  const int row = call_.width * call_.channels;
  const uint8_t* from = augmented(n);
  for (int y = 0; y < call_.height; y++, from += row) {
    T* __restrict const to = out + out_.layout.at(y, 0);
    for (int i = 0; i < row; i++) to[i] = T(from[i]) * scale_[i] + shift_[i];
  }
}

// Two passes over the image: a vector load of words that were just stored one by one would stall.
template <class T>
void Input<T>::planes(int n, const Planes& shape, uint32_t* words, T* out) const {
  const int height = call_.height, width = call_.width, channels = call_.channels, border = out_.layout.border_x;
  const int halves[2] = {(width + 1) / 2, width / 2};
  out += out_.layout.border_y * shape.row();
  for (int c = 0; c < channels; c += 3) {
    // One word per pixel: its channels are then shifts of the word, for a vector of pixels at once.
    const uint8_t* from = augmented(n) + c;
    uint32_t* to = words;
    for (int y = 0; y < height; y++, from += width * channels)
      for (int half = 0; half < 2; half++) {
        for (int i = 0; i < halves[half]; i++) std::memcpy(&to[i], from + (2 * i + half) * channels, 4);
        to += round_up(halves[half], 4);
      }

    const uint32_t* __restrict source = words;
    for (int y = 0; y < height; y++)
      for (int half = 0; half < 2; half++) {
        // Column x of the image is column x + border of the plane.
        T* const row = out + y * shape.row() + ((half + border) & 1) * shape.half + (half + border) / 2;
        for (int k = c; k < channels && k < c + 3; k++) {
          T* __restrict const plane = row + k * shape.plane();
          const T scale = scale_[k], shift = shift_[k];
          for (int i = 0; i < halves[half]; i++)
            plane[i] = T(int32_t(source[i] >> 8 * (k - c) & 255)) * scale + shift;
        }
        source += round_up(halves[half], 4);
      }
  }
}

template class Input<float>;
template class Input<double>;

}  // namespace lenet
