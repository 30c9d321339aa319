// The networks that the test trains: every kind of layer, in every place where the engine treats it differently.
#pragma once

#include <vector>

#include "../api.h"

namespace {

// Input sizes follow from the previous layer.
struct LayerDesign {
  LenetKind kind;
  int outputs = 0, kernel = 0, pad_y = 0, pad_x = 0;
  double p = 0;
  int stride_y = 1, stride_x = 1;
  int groups = 1;
};

struct Design {
  const char* name;
  int height, width, channels, classes;
  int frozen;   // number of first layers that are not trained
  bool pixels;  // if false, the input is `channels` features
  std::vector<LayerDesign> layers;
};

const std::vector<Design> kDesigns = {
    {"lenet", 20, 20, 3, 10, 0, true,
     {{kNormalize}, {kConv, 6, 5}, {kRelu}, {kMaxPool}, {kConv, 16, 5}, {kRelu}, {kMaxPool}, {kFlatten},
      {kLinear, 40}, {kRelu}, {kLinear, 28}, {kRelu}, {kLinear, 10}}},
    {"batch norm and dropout", 19, 18, 3, 5, 0, true,
     {{kNormalize}, {kConv, 6, 5}, {kBatchNorm}, {kRelu}, {kMaxPool}, {kDropout, 0, 0, 0, 0, 0.2},
      {kConv, 9, 3}, {kBatchNorm}, {kTanh}, {kMaxPool}, {kFlatten},
      {kLinear, 21}, {kBatchNorm}, {kRelu}, {kDropout, 0, 0, 0, 0, 0.4}, {kLinear, 5}}},
    {"tanh and average pool", 18, 18, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 5}, {kTanh}, {kAveragePool}, {kConv, 12, 5}, {kTanh}, {kAveragePool}, {kFlatten},
      {kLinear, 17}, {kTanh}, {kLinear, 4}}},
    {"batch norm and average pool", 16, 17, 1, 4, 0, true,
     {{kNormalize}, {kConv, 4, 5, 2, 2}, {kBatchNorm}, {kTanh}, {kAveragePool}, {kConv, 20, 3}, {kBatchNorm}, {kRelu},
      {kAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"odd sizes", 17, 19, 1, 3, 0, true,
     {{kNormalize}, {kConv, 5, 3, 1, 1}, {kRelu}, {kMaxPool}, {kConv, 7, 3, 1, 1}, {kRelu}, {kMaxPool}, {kFlatten},
      {kLinear, 13}, {kRelu}, {kLinear, 3}}},
    {"more channels than the sparse gradients take at once", 16, 17, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3}, {kTanh}, {kMaxPool}, {kConv, 45, 3, 1, 1}, {kTanh}, {kMaxPool}, {kFlatten},
      {kLinear, 4}}},
    {"no block", 12, 15, 3, 6, 0, true,
     {{kNormalize}, {kConv, 5, 3, 0, 1}, {kTanh}, {kDropout, 0, 0, 0, 0, 0.3}, {kConv, 7, 3, 1, 0}, {kMaxPool},
      {kBatchNorm}, {kConv, 34, 3, 1, 1}, {kRelu}, {kBatchNorm}, {kAveragePool}, {kFlatten}, {kDropout, 0, 0, 0, 0, 0.1},
      {kBatchNorm}, {kLinear, 6}}},
    {"leaky ReLU and global pool", 13, 11, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3}, {kLeakyRelu}, {kMaxPool}, {kConv, 18, 3, 1, 1}, {kBatchNorm}, {kLeakyRelu},
      {kGlobalAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"Winograd 5x5", 21, 18, 3, 4, 0, true,
     {{kNormalize}, {kConv, 18, 3}, {kTanh}, {kMaxPool}, {kConv, 21, 5, 2, 2}, {kTanh}, {kMaxPool}, {kFlatten},
      {kLinear, 4}}},
    {"Winograd 3x3", 14, 17, 3, 4, 0, true,
     {{kNormalize}, {kConv, 17, 3}, {kRelu}, {kMaxPool}, {kConv, 16, 3}, {kBatchNorm}, {kTanh}, {kAveragePool},
      {kConv, 35, 3, 1, 1}, {kTanh}, {kGlobalAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"strides and 1x1", 15, 18, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3, 1, 1, 0, 2, 2}, {kBatchNorm}, {kRelu}, {kConv, 19, 1}, {kTanh}, {kMaxPool},
      {kConv, 9, 1, 0, 1, 0, 2, 1}, {kConv, 5, 5, 2, 2, 0, 1, 2}, {kTanh}, {kConv, 20, 1, 1, 1}, {kFlatten},
      {kLinear, 4}}},
    {"groups", 13, 16, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3, 1, 1, 0, 1, 1, 3}, {kRelu}, {kConv, 6, 3, 1, 1, 0, 1, 1, 6}, {kBatchNorm}, {kRelu},
      {kConv, 18, 1}, {kConv, 18, 5, 2, 1, 0, 2, 1, 18}, {kTanh}, {kConv, 12, 3, 0, 1, 0, 1, 2, 6}, {kRelu}, {kMaxPool},
      {kConv, 12, 1, 0, 0, 0, 2, 2, 12}, {kConv, 8, 5, 2, 4, 0, 1, 1, 2}, {kFlatten}, {kLinear, 4}}},
    {"pools that overlap", 13, 16, 3, 4, 0, true,
     {{kNormalize}, {kMaxPool, 0, 3, 1, 1, 0, 2, 2}, {kConv, 6, 3, 1, 1}, {kRelu}, {kAveragePool, 0, 3, 1, 0, 0, 1, 2},
      {kBatchNorm}, {kMaxPool, 0, 3}, {kFlatten}, {kLinear, 4}}},
    {"residual blocks", 12, 15, 3, 4, 0, true,
     {{kNormalize}, {kConv, 6, 3, 1, 1}, {kRelu},
      {kBody}, {kConv, 6, 3, 1, 1}, {kBatchNorm}, {kRelu}, {kConv, 6, 3, 1, 1}, {kShortcut}, {kAdd}, {kRelu},
      {kBody}, {kConv, 9, 3, 1, 1, 0, 2, 2}, {kBatchNorm}, {kTanh}, {kConv, 9, 3, 1, 1}, {kBatchNorm},
      {kShortcut}, {kConv, 9, 1, 0, 0, 0, 2, 2}, {kAdd},
      {kBody}, {kDropout, 0, 0, 0, 0, 0.2}, {kConv, 9, 3, 1, 1}, {kShortcut}, {kDropout, 0, 0, 0, 0, 0.2}, {kAdd},
      {kConv, 8, 3, 1, 1}, {kGlobalAveragePool}, {kFlatten}, {kLinear, 4}}},
    {"residual blocks of pixels, ending in pools, frozen", 10, 12, 3, 4, 9, true,
     {{kNormalize}, {kBody}, {kConv, 3, 3, 1, 1}, {kShortcut}, {kAdd},
      {kBody}, {kBatchNorm}, {kShortcut}, {kAdd},
      {kBody}, {kConv, 18, 3, 1, 1}, {kRelu}, {kMaxPool}, {kShortcut}, {kMaxPool}, {kConv, 18, 3, 1, 1}, {kRelu}, {kAdd},
      {kMaxPool}, {kFlatten}, {kLinear, 4}}},
    {"Winograd and batch norm without a pool", 11, 14, 3, 4, 0, true,
     {{kNormalize}, {kConv, 17, 3, 1, 1}, {kBatchNorm}, {kRelu}, {kConv, 16, 3, 3, 0}, {kBatchNorm}, {kTanh},
      {kConv, 18, 5, 2, 1}, {kBatchNorm}, {kConv, 33, 3}, {kBatchNorm}, {kLeakyRelu}, {kGlobalAveragePool}, {kFlatten},
      {kLinear, 4}}},
    {"frozen prefix", 17, 16, 3, 5, 5, true,
     {{kNormalize}, {kConv, 6, 5}, {kBatchNorm}, {kRelu}, {kMaxPool}, {kConv, 8, 3}, {kBatchNorm}, {kRelu}, {kMaxPool},
      {kFlatten}, {kLinear, 15}, {kRelu}, {kLinear, 5}}},
    {"frozen to the middle of a block", 14, 14, 1, 5, 6, true,
     {{kNormalize}, {kConv, 6, 3}, {kRelu}, {kMaxPool}, {kDropout, 0, 0, 0, 0, 0.5}, {kConv, 8, 3}, {kBatchNorm}, {kRelu},
      {kMaxPool}, {kFlatten}, {kLinear, 5}}},
    {"only a linear layer is trained", 12, 12, 3, 67, 5, true,
     {{kNormalize}, {kConv, 3, 5}, {kTanh}, {kMaxPool}, {kFlatten}, {kLinear, 67}}},
    {"a head on features", 1, 1, 37, 7, 0, false,
     {{kLinear, 19}, {kBatchNorm}, {kRelu}, {kDropout, 0, 0, 0, 0, 0.3}, {kLinear, 7}}},
    {"Winograd, several groups of images in a slice", 18, 17, 3, 4, 0, true,
     {{kNormalize}, {kConv, 17, 3, 1, 1}, {kTanh}, {kConv, 18, 3, 1, 1}, {kRelu}, {kConv, 19, 3, 1, 1}, {kTanh},
      {kAveragePool}, {kBatchNorm}, {kFlatten}, {kLinear, 4}}},
    {"Winograd, norm trained after a frozen convolution", 13, 12, 3, 4, 4, true,
     {{kNormalize}, {kConv, 18, 3, 1, 1}, {kRelu}, {kConv, 20, 3, 1, 1}, {kBatchNorm}, {kRelu}, {kMaxPool}, {kFlatten},
      {kLinear, 4}}},
    {"Winograd rather than winners", 17, 15, 3, 4, 0, true,
     {{kNormalize}, {kConv, 40, 3, 1, 1}, {kRelu}, {kConv, 41, 5, 1, 2}, {kTanh}, {kMaxPool},
      {kBatchNorm}, {kFlatten}, {kLinear, 4}}},
};

}  // namespace
