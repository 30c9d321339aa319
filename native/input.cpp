#include "input.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "augment.h"
#include "team.h"

namespace lenet {

template <class T>
Input<T>::Input(const LenetCall& call, const LenetLayer* normalize, Blob<T>& out)
    : call_(call), augmenter_(call), normalize_(normalize), out_(out) {
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
  augmented_ = arena.array<uint8_t>(size_t(context.most_images) * augmenter_.bytes());
  texels_ = arena.array<uint32_t>(size_t(context.threads) * augmenter_.texels());
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
  schedule.images([this](const Step& step, const Slice& slice, const Worker& worker) {
    for (int n = slice.images.begin; n < slice.images.end; n++) {
      if (!normalize_) {
        features(step.begin + n, out_.image(n));
        continue;
      }
      augmenter_.image(step.begin + n, texels_ + worker.index * augmenter_.texels(),
                       augmented_ + size_t(n) * augmenter_.bytes());
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
