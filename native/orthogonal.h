// Muon's direction (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): a matrix with the same singular vectors
// as the gradient's, whose singular values all lie near 1, by five steps of a Newton-Schulz iteration.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "arena.h"
#include "vector.h"

namespace lenet {

// Works on one matrix of `rows` rows, each of `columns` values and padded by zeros to a multiple of kLanes. Runs on one
// thread.
template <class T>
class Orthogonal {
 public:
  Orthogonal(int rows, int width, int columns)
      : rows_(rows), width_(width), side_(padded<T>(rows)), scale_(T(std::sqrt(std::max(1.0, double(rows) / columns)))) {}

  void allocate(Arena& arena) {
    other_ = arena.array<T>(size_t(rows_) * width_);
    gram_ = arena.array<T>(size_t(rows_) * side_);
    square_ = arena.array<T>(size_t(rows_) * side_);
  }

  // Replaces the matrix by its direction. A step is X <- aX + (bA + cA^2)X with A = XX'. More rows than columns take more
  // time than the transpose would and give the same.
  void replace(T* matrix) const {
    // The sum of squares, in vectors: every singular value is then at most 1, as the iteration needs.
    Vec<T> squares = {};
    const int size = rows_ * width_;  // at most 50 million parameters
    for (int i = 0; i < size; i += L) squares += load(matrix + i) * load(matrix + i);
    const T norm = std::sqrt(sum_of_lanes<T>(squares)) + T(1e-7);
    for (int i = 0; i < size; i++) matrix[i] /= norm;

    T *from = matrix, *to = other_;
    for (int step = 0; step < kSteps; step++) {
      products(from, width_, gram_);
      products(gram_, side_, square_);
      for (size_t i = 0; i < size_t(rows_) * side_; i++) square_[i] = kB * gram_[i] + kC * square_[i];
      combine(from, to);
      std::swap(from, to);
    }
    for (int i = 0; i < size; i++) matrix[i] = scale_ * from[i];
  }

 private:
  static constexpr int L = kLanes<T>, kSteps = 5, kRows = 4, kColumns = 2;
  static constexpr T kA = T(3.4445), kB = T(-4.7750), kC = T(2.0315);

  // to = xx', [rows][side]. Past the last row, the last one is taken again.
  void products(const T* x, int width, T* to) const {
    const int last = rows_ - 1;
    for (int i = 0; i < rows_; i += kRows)
      for (int j = 0; j <= std::min(i + kRows - 1, last); j += kColumns) {
        Vec<T> sums[kRows][kColumns] = {};
        for (int k = 0; k < width; k += L) {
          const Vec<T> right[kColumns] = {load(x + size_t(j) * width + k),
                                          load(x + size_t(std::min(j + 1, last)) * width + k)};
          for (int r = 0; r < kRows; r++) {
            const Vec<T> left = load(x + size_t(std::min(i + r, last)) * width + k);
            for (int c = 0; c < kColumns; c++) sums[r][c] += left * right[c];
          }
        }
        for (int r = 0; r < kRows; r++)
          for (int c = 0; c < kColumns; c++) {
            const int a = std::min(i + r, last), b = std::min(j + c, last);
            to[size_t(a) * side_ + b] = to[size_t(b) * side_ + a] = sum_of_lanes<T>(sums[r][c]);
          }
      }
  }

  // to = kA x + square_ x
  void combine(const T* x, T* to) const {
    const int last = rows_ - 1;
    for (int i = 0; i < rows_; i += kRows) {
      const T* factors[kRows];
      for (int r = 0; r < kRows; r++) factors[r] = square_ + size_t(std::min(i + r, last)) * side_;
      for (int k = 0; k < width_; k += kColumns * L) {
        const int second = std::min(k + L, width_ - L);  // of an odd number of vectors, the last one is taken twice
        Vec<T> sums[kRows][kColumns];
        for (int r = 0; r < kRows; r++) {
          const T* const row = x + size_t(std::min(i + r, last)) * width_;
          sums[r][0] = kA * load(row + k);
          sums[r][1] = kA * load(row + second);
        }
        for (int j = 0; j < rows_; j++) {
          const Vec<T> first = load(x + size_t(j) * width_ + k), other = load(x + size_t(j) * width_ + second);
          for (int r = 0; r < kRows; r++) {
            const Vec<T> factor = broadcast(factors[r][j]);
            sums[r][0] += factor * first;
            sums[r][1] += factor * other;
          }
        }
        for (int r = 0; r < kRows; r++) {
          T* const row = to + size_t(std::min(i + r, last)) * width_;
          store(row + k, sums[r][0]);
          store(row + second, sums[r][1]);
        }
      }
    }
  }

  const int rows_, width_;
  const int side_;  // rows, padded to vectors
  const T scale_;   // the update of a matrix with more rows than columns is larger, so that its outputs change as much
  T* other_ = nullptr;
  T *gram_ = nullptr, *square_ = nullptr;  // [rows][side]
};

}  // namespace lenet
