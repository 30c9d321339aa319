// Muon's direction (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): a matrix with the same singular vectors
// as the gradient's, whose singular values all lie near 1, by five steps of a Newton-Schulz iteration.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <functional>
#include <vector>

#include "arena.h"
#include "schedule.h"
#include "vector.h"

namespace lenet {

// A step is X <- QX with Q = aI + bA + cA^2 and A = XX', for X of norm 1. Every A and Q is a polynomial of the first A, so
// they commute: A becomes Q^2 A. The iteration therefore takes place in symmetric matrices of the side of A, which is X's
// shorter one, and X is multiplied once, by the product P of all Q. With more rows than columns A is X'X, and X <- XQ.
template <class T>
class Orthogonal {
 public:
  // Of a matrix of `rows` rows, each of `columns` values, which zeros pad to `width`, a multiple of kLanes.
  Orthogonal(int rows, int width, int columns)
      : rows_(rows),
        width_(width),
        wide_(rows <= width),
        side_(wide_ ? rows : width),
        row_(padded<T>(side_)),
        scale_(T(std::sqrt(std::max(1.0, double(rows) / columns)))) {}

  void allocate(Arena& arena, const T* matrix) {
    x_ = matrix;
    direction_ = arena.array<T>(size_t(rows_) * width_);
    for (T** array : {&a_, &q_, &qa_, &p_[0], &p_[1]}) *array = arena.array<T>(size_t(side_) * row_);
  }

  // [rows][width]
  const T* direction() const { return direction_; }

  // Adds phases that compute the matrix's direction, between barriers. If it is large, threads share the rows.
  void add_phases(Schedule& schedule) {
    std::vector<Stage> stages = {{side_, [this](int i) { gram(i); }}};
    for (int step = 0; step < kSteps; step++) {
      stages.push_back({side_, [=](int i) { make_q(i, step); }});
      stages.push_back({side_, [=](int i) { make_p(i, step); }});
      if (step + 1 < kSteps) stages.push_back({side_, [this](int i) { upper_half(i, q_, row_, 1, qa_, side_, a_); }});
    }
    stages.push_back({rows_, [this](int i) { finish(i); }});
    schedule.barrier();
    if (side_ < kLeastSplit)
      schedule.columns(Split::singly(1), [stages](const Step&, Range, const Worker&) {
        for (const Stage& stage : stages)
          for (int i = 0; i < stage.rows; i += kBlock) stage.work(i);
      });
    else
      for (const Stage& stage : stages) {
        const int blocks = (stage.rows + kBlock - 1) / kBlock;
        schedule.columns(Split::singly(blocks), [stage, blocks](const Step&, Range parts, const Worker&) {
          // The first blocks of an upper half are the largest: every second part is one of the last.
          for (int p = parts.begin; p < parts.end; p++) stage.work(kBlock * (p % 2 ? blocks - 1 - p / 2 : p / 2));
        });
        schedule.barrier();
      }
    schedule.barrier();
  }

 private:
  static constexpr int L = kLanes<T>, kSteps = 5, kRows = L < 8 ? 2 : 4, kVectors = 2;
  static constexpr int kBlock = 16, kLeastSplit = 48;
  static constexpr T kA = T(3.4445), kB = T(-4.7750), kC = T(2.0315);
  static_assert(kBlock % L == 0 && kBlock % kRows == 0);

  // Work on a matrix of `rows` rows: work(i) computes the rows [i, i + kBlock).
  struct Stage {
    int rows;
    std::function<void(int)> work;
  };

  // a_ = xx' or x'x. The first of its values are not divided by the square of x's norm, see `first_scale`.
  void gram(int i) {
    if (wide_)
      for (int r = i; r < std::min(i + kBlock, side_); r += kRows) sums_over_rows(r);
    else
      upper_half(i, x_, 1, width_, x_, rows_, a_);
  }

  void make_q(int i, int step) {
    const T scale = step ? T(1) : first_scale();
    upper_half(i, a_, row_, 1, a_, side_, q_, [=](int r, T* row, int begin) {
      const T* const a = a_ + size_t(r) * row_;
      for (int j = begin; j < row_; j++) row[j] = scale * (kB * a[j] + kC * scale * row[j]);
      row[r] += kA;
    });
    if (step == 0 && i == 0) norm_ = 1 / std::sqrt(scale);
  }

  // The product of all Q so far, and for the next step QA.
  void make_p(int i, int step) {
    if (step)
      upper_half(i, p_[(step + 1) % 2], row_, 1, q_, side_, p_[step % 2]);
    else
      std::memcpy(p_[0] + size_t(i) * row_, q_ + size_t(i) * row_, size_t(std::min(kBlock, side_ - i)) * row_ * sizeof(T));
    if (step + 1 == kSteps) return;
    const T scale = step ? T(1) : 1 / (norm_ * norm_);
    upper_half(i, q_, row_, 1, a_, side_, qa_, [=](int, T* row, int begin) {
      for (int j = begin; j < row_; j++) row[j] *= scale;
    });
  }

  void finish(int i) {
    const T* const p = p_[(kSteps - 1) % 2];
    const int end = std::min(i + kBlock, rows_);
    for (int r = i; r < end; r += kRows)
      if (wide_)
        multiply(r, rows_, p, row_, 1, x_, width_, side_, 0, direction_);
      else
        multiply(r, rows_, x_, width_, 1, p, row_, side_, 0, direction_);
    const T factor = scale_ / norm_;
    for (size_t at = size_t(i) * width_; at < size_t(end) * width_; at++) direction_[at] *= factor;
  }

  // 1 / |x|^2, of whose product with A every eigenvalue is at most 1, as the iteration needs.
  T first_scale() const {
    T squares = 0;
    for (int i = 0; i < side_; i++) squares += a_[size_t(i) * row_ + i];
    const T norm = std::sqrt(squares) + T(1e-7);
    return 1 / (norm * norm);
  }

  // kRows rows of a_ = xx', which are sums over the long rows of x. Past the last row, the last one is taken again.
  void sums_over_rows(int i) {
    constexpr int kColumns = L / kRows;  // as many sums as lanes, see sums_of_lanes
    const int last = side_ - 1;
    for (int j = 0; j <= std::min(i + kRows - 1, last); j += kColumns) {
      Vec<T> sums[kRows * kColumns] = {};
      const T *left[kRows], *right[kColumns];
      for (int r = 0; r < kRows; r++) left[r] = x_ + size_t(std::min(i + r, last)) * width_;
      for (int c = 0; c < kColumns; c++) right[c] = x_ + size_t(std::min(j + c, last)) * width_;
      for (int k = 0; k < width_; k += L)
        for (int r = 0; r < kRows; r++) {
          const Vec<T> value = load(left[r] + k);
          for (int c = 0; c < kColumns; c++) sums[r * kColumns + c] += value * load(right[c] + k);
        }
      const Vec<T> found = sums_of_lanes<T>(sums);
      for (int r = 0; r < kRows; r++)
        for (int c = 0; c < kColumns; c++) {
          const size_t a = std::min(i + r, last), b = std::min(j + c, last);
          a_[a * row_ + b] = a_[b * row_ + a] = found[r * kColumns + c];
        }
    }
  }

  // The rows [i, i + kBlock) of to = fm, which is symmetric: from the diagonal on, then the columns below it. Other blocks
  // write to other values. change(row, its values, first column) is called before values are copied.
  template <class Change = void (*)(int, T*, int)>
  void upper_half(int i, const T* f, int down, int right, const T* m, int inner, T* to,
                  Change change = [](int, T*, int) {}) const {
    const int end = std::min(i + kBlock, side_);
    for (int r = i; r < end; r += kRows) multiply(r, side_, f, down, right, m, row_, inner, r / L * L, to);
    for (int r = i; r < end; r++) change(r, to + size_t(r) * row_, r / L * L);
    for (int r = i; r < end; r++)
      for (int j = r + 1; j < side_; j++) to[size_t(j) * row_ + r] = to[size_t(r) * row_ + j];
  }

  // kRows rows of to = fm from row i on, in their columns from `begin` on. f has `rows` rows, whose factors are `right`
  // apart, and m has `inner`; m's and to's are of `width`. Past the last row, the last one is taken again.
  static void multiply(int i, int rows, const T* f, int down, int right, const T* m, int width, int inner, int begin,
                       T* to) {
    const T* factors[kRows];
    for (int r = 0; r < kRows; r++) factors[r] = f + size_t(std::min(i + r, rows - 1)) * down;
    for (int k = begin; k < width; k += kVectors * L) {
      const int second = std::min(k + L, width - L);  // of an odd number of vectors, the last one is taken twice
      Vec<T> sums[kRows][kVectors] = {};
      for (int j = 0; j < inner; j++) {
        const Vec<T> first = load(m + size_t(j) * width + k), other = load(m + size_t(j) * width + second);
        for (int r = 0; r < kRows; r++) {
          const Vec<T> factor = broadcast(factors[r][size_t(j) * right]);
          sums[r][0] += factor * first;
          sums[r][1] += factor * other;
        }
      }
      for (int r = 0; r < kRows; r++) {
        T* const row = to + size_t(std::min(i + r, rows - 1)) * width;
        store(row + k, sums[r][0]);
        store(row + second, sums[r][1]);
      }
    }
  }

  const int rows_, width_;
  const bool wide_;
  const int side_, row_;  // of A, and padded to vectors
  const T scale_;         // the update of a matrix with more rows than columns is larger, so that its outputs change as much
  T norm_ = 0;            // of x
  const T* x_ = nullptr;
  T* direction_ = nullptr;
  T *a_ = nullptr, *q_ = nullptr, *qa_ = nullptr, *p_[2] = {};  // [side][row]
};

}  // namespace lenet
