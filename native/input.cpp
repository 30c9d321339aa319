#include "input.h"

namespace lenet {

// An index outside [0, size) turned back at the border pixel, which itself is not repeated.
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
void Input<T>::allocate(Arena& arena, int members) {
  const int row = call_.width * call_.channels;
  scale_ = arena.array<T>(row);
  shift_ = arena.array<T>(row);
  turned_ = arena.array<uint8_t>(size_t(members) * round_up(row, 64));
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
    uint8_t* const turned = turned_ + size_t(worker.index) * round_up(call_.width * call_.channels, 64);
    for (int n = slice.images.begin; n < slice.images.end; n++) image(step.begin + n, out_.image(n), turned);
  });
}

template <class T>
void Input<T>::image(int64_t position, T* out, uint8_t* turned) const {
  const int64_t index = call_.order ? call_.order[position] : position;
  if (!normalize_) {
    const float* const features = call_.features + index * call_.channels;
    for (int i = 0; i < call_.channels; i++) out[i] = T(features[i]);
    return;
  }
  const int width = call_.width, channels = call_.channels, row = width * channels;
  const uint8_t* const pixels = call_.pixels + index * call_.height * row;
  const bool flip = call_.flips && call_.flips[position];
  const int dy = call_.shifts ? call_.shifts[2 * position] : 0;
  const int dx = call_.shifts ? call_.shifts[2 * position + 1] : 0;
  for (int y = 0; y < call_.height; y++) {
    const uint8_t* from = pixels + reflected(y + dy, call_.height) * row;
    if (flip || dx) {
      turn(from, flip, dx, turned);
      from = turned;
    }
    T* const to = out + out_.layout.at(y, 0);
    for (int i = 0; i < row; i++) to[i] = T(from[i]) * scale_[i] + shift_[i];
  }
}

// Flip first, then shift: pixel x of the result is pixel reflected(x + dx) of the mirrored row.
template <class T>
void Input<T>::turn(const uint8_t* row, bool flip, int dx, uint8_t* turned) const {
  const int width = call_.width, channels = call_.channels;
  for (int x = 0; x < width; x++) {
    const int mirrored = reflected(x + dx, width), from = flip ? width - 1 - mirrored : mirrored;
    for (int c = 0; c < channels; c++) turned[x * channels + c] = row[from * channels + c];
  }
}

template class Input<float>;
template class Input<double>;

}  // namespace lenet
