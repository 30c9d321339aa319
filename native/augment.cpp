#include "augment.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lenet {

namespace {

typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef uint16_t Words8 __attribute__((vector_size(16)));
typedef uint64_t Longs2 __attribute__((vector_size(16)));

// Constants of lenet/data/plan.py and lenet/data/augment.py.
constexpr int kMapBits = 16;     // fraction bits of a map's numbers
constexpr int kPlaceBits = 4;    // fraction bits of a place between pixels
constexpr int kColourBits = 12;  // fraction bits of a colour mix
constexpr int kGrey = 128;

// Reflects an index outside [0, size) at the border pixel, which is not repeated.
int reflected(int i, int size) {
  if (i < 0) i = -i;
  return i >= size ? 2 * (size - 1) - i : i;
}

// The same for a place in sixteenths of a pixel, whose result is 0 to `last`. Farther than two image sizes it stops.
int folded(int place, int last) {
  place = std::min(std::max(place, -2 * last), 2 * last);
  place = last - (place < 0 ? -place : place);
  return last - (place < 0 ? -place : place);
}

uint8_t clamped(int32_t value) { return uint8_t(std::min(std::max(value, 0), 255)); }

// The bytes of two texels. A conversion of eight bytes would be five instructions in GCC 12, this is one.
Words8 widened(const uint32_t* texels) {
  uint64_t bytes;
  std::memcpy(&bytes, texels, 8);
  return reinterpret_cast<Words8>(__builtin_shufflevector(reinterpret_cast<Bytes16>(Longs2{bytes, 0}), Bytes16{}, 0, 16, 1,
                                                          17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
}

// Weights of the four pixels around a place, of 256, by its fraction: y and x in sixteenths, four bits each. Above, then
// below; lanes 0 to 3 of each are the left pixel's channels, 4 to 7 the right one's.
struct Weights {
  alignas(64) uint16_t of[256][2][8] = {};

  constexpr Weights() {
    for (int fraction = 0; fraction < 256; fraction++)
      for (int lane = 0; lane < 8; lane++) {
        const int y = fraction >> 4, x = lane < 4 ? 16 - (fraction & 15) : fraction & 15;
        of[fraction][0][lane] = uint16_t((16 - y) * x);
        of[fraction][1][lane] = uint16_t(y * x);
      }
  }
};
constexpr Weights kWeights;

// The pixels around a place, each times its weight, above and below added: left pixels in lanes 0 to 3, right ones in 4
// to 7. Left and right together are at most 255 * 256, which fits. place: the pixel's index, then the fraction.
Words8 weighted(const uint32_t* texels, int stride, int32_t place) {
  const uint32_t* const at = texels + (place >> 2 * kPlaceBits);
  const auto& weights = kWeights.of[place & 255];
  Words8 upper, lower;
  std::memcpy(&upper, weights[0], 16);
  std::memcpy(&lower, weights[1], 16);
  return widened(at) * upper + widened(at + stride) * lower;
}

// One row of the result, two pixels at a time. places: one more than `width`. Count: bytes written for each pixel.
template <int Count>
void write_row(const uint32_t* texels, int stride, const int32_t* places, int width, int channels, uint8_t* out) {
  for (int x = 0; x < width; x += 2) {
    const Words8 a = weighted(texels, stride, places[x]), b = weighted(texels, stride, places[x + 1]);
    const Words8 sum = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
                       __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    const Bytes16 rounded = reinterpret_cast<Bytes16>(sum + 128);  // the sum / 256 is a word's upper byte
    const uint64_t pixels = reinterpret_cast<Longs2>(__builtin_shufflevector(
        rounded, rounded, 1, 3, 5, 7, 9, 11, 13, 15, 1, 3, 5, 7, 9, 11, 13, 15))[0], right = pixels >> 32;
    std::memcpy(out + x * channels, &pixels, Count);
    if (x + 1 < width) std::memcpy(out + (x + 1) * channels, &right, Count);
  }
}

}  // namespace

void Augmenter::image(int64_t position, uint32_t* texels, uint8_t* out) const {
  const int64_t index = call_.order ? call_.order[position] : position;
  const uint8_t* const pixels = call_.pixels + index * call_.height * call_.width * call_.channels;
  if (call_.warps)
    warp(call_.warps + 6 * position, pixels, texels, out);
  else
    shift(position, pixels, out);
  if (call_.colours) colour(call_.colours + 3 * position, out);
  if (call_.boxes) cut(call_.boxes + 4 * position, out);
}

// Flips, then shifts: pixel x of the result is pixel reflected(x + dx) of the flipped row.
void Augmenter::shift(int64_t position, const uint8_t* pixels, uint8_t* out) const {
  const int width = call_.width, channels = call_.channels, row = width * channels;
  const bool flip = call_.flips && call_.flips[position];
  const int dy = call_.shifts ? call_.shifts[2 * position] : 0;
  const int dx = call_.shifts ? call_.shifts[2 * position + 1] : 0;
  // Columns [begin, end) of the result are [begin + dx, end + dx) of the flipped row; the others are reflected.
  const int begin = dx < 0 ? -dx : 0, end = dx > 0 ? width - dx : width;
  for (int y = 0; y < call_.height; y++, out += row) {
    const uint8_t* const from = pixels + reflected(y + dy, call_.height) * row;
    const auto copy = [&](int x) {
      const int column = reflected(x + dx, width), source = flip ? width - 1 - column : column;
      for (int c = 0; c < channels; c++) out[x * channels + c] = from[source * channels + c];
    };
    for (int x = 0; x < begin; x++) copy(x);
    if (!flip) {
      std::memcpy(out + begin * channels, from + (begin + dx) * channels, size_t(end - begin) * channels);
    } else if (channels == 3 && end - begin > 2) {
      // Copies four bytes for three; the next pixel overwrites the fourth. At both ends there may be no fourth byte to
      // read or write.
      copy(begin);
      const uint8_t* source = from + (width - 1 - (begin + 1 + dx)) * 3;
      for (int x = begin + 1; x < end - 1; x++, source -= 3) std::memcpy(out + x * 3, source, 4);
      copy(end - 1);
    } else {
      for (int x = begin; x < end; x++) copy(x);
    }
    for (int x = end; x < width; x++) copy(x);
  }
}

// Each pixel becomes a texel of four bytes, with one more column and row, whose weight is always zero: the four pixels
// around a place are then two loads, and no place is a special case.
void Augmenter::warp(const int32_t* map, const uint8_t* pixels, uint32_t* texels, uint8_t* out) const {
  const int height = call_.height, width = call_.width, channels = call_.channels, row = width * channels;
  int32_t* const places = reinterpret_cast<int32_t*>(texels + size_t(height + 1) * stride());
  for (int c = 0; c < channels; c += 4) {
    const int count = std::min(channels - c, 4);
    const uint8_t* from = pixels + c;
    for (int y = 0; y < height; y++, from += row) {
      uint32_t* const to = texels + y * stride();
      // A fourth byte, of the next pixel, costs nothing; after the last pixel there is none.
      const int wide = channels == 3 ? (y == height - 1 ? width - 1 : width) : 0;
      for (int x = 0; x < wide; x++) std::memcpy(to + x, from + x * 3, 4);
      for (int x = wide; x < width; x++) std::memcpy(to + x, from + x * channels, size_t(count));
    }
    for (int y = 0; y < height; y++) {
      constexpr int kDropped = kMapBits - kPlaceBits, kHalf = 1 << (kDropped - 1);
      const int32_t down = map[0] * y + map[2] + kHalf, across = map[3] * y + map[5] + kHalf;
      const int last_row = (height - 1) << kPlaceBits, last_column = (width - 1) << kPlaceBits;
      for (int x = 0; x < width; x++) {
        const int v = folded((map[1] * x + down) >> kDropped, last_row);
        const int u = folded((map[4] * x + across) >> kDropped, last_column);
        const int pixel = (v >> kPlaceBits) * stride() + (u >> kPlaceBits);
        places[x] = pixel << 2 * kPlaceBits | (v & 15) << kPlaceBits | (u & 15);
      }
      places[width] = places[width - 1];
      uint8_t* const to = out + y * row + c;
      if (channels == 3)  // the next pixel overwrites the fourth byte; after the last pixel there is room
        write_row<4>(texels, stride(), places, width, 3, to);
      else
        with_constant<4>(count, [&](auto bytes) { write_row<bytes>(texels, stride(), places, width, channels, to); });
    }
  }
}

// Every value becomes mix[0] * value + mix[1] * luma + mix[2]; the luma of grey is its value.
void Augmenter::colour(const int32_t* mix, uint8_t* out) const {
  const int32_t values = call_.height * call_.width * call_.channels;
  constexpr int32_t kHalf = 1 << (kColourBits - 1);
  if (call_.channels != 3) {
    const int32_t gain = mix[0] + mix[1], offset = mix[2] + kHalf;
    for (int i = 0; i < values; i++) out[i] = clamped((gain * out[i] + offset) >> kColourBits);
    return;
  }
  for (int i = 0; i < values; i += 3) {
    const int32_t luma = (77 * out[i] + 150 * out[i + 1] + 29 * out[i + 2] + 128) >> 8;
    const int32_t rest = luma * mix[1] + mix[2] + kHalf;
    out[i] = clamped((out[i] * mix[0] + rest) >> kColourBits);
    out[i + 1] = clamped((out[i + 1] * mix[0] + rest) >> kColourBits);
    out[i + 2] = clamped((out[i + 2] * mix[0] + rest) >> kColourBits);
  }
}

void Augmenter::cut(const int16_t* box, uint8_t* out) const {
  const int channels = call_.channels;
  for (int y = box[0]; y < box[2]; y++)
    std::memset(out + (y * call_.width + box[1]) * channels, kGrey, size_t(box[3] - box[1]) * channels);
}

}  // namespace lenet
