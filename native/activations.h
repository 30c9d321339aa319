// Activation functions on vectors. value(y): the output; slope(y, output, dy): the gradient of y, from the output and its
// gradient. ReLU and leaky ReLU take the output in place of y too, since both have the same sign.
#pragma once

#include "api.h"
#include "vector.h"
#include "vector_math.h"

namespace lenet {

template <class T>
struct NoActivation {
  using V = Vec<T>;
  V value(V y) const { return y; }
  V slope(V, V, V dy) const { return dy; }
};

template <class T>
struct Relu {
  using V = Vec<T>;
  V value(V y) const { return y < T(0) ? V{} : y; }  // y > 0 ? y : 0 would turn NaN into 0; PyTorch keeps NaN
  V slope(V y, V, V dy) const { return y > T(0) ? dy : V{}; }
};

template <class T>
struct LeakyRelu {
  using V = Vec<T>;
  T negative;  // not below 0
  V value(V y) const { return y < T(0) ? negative * y : y; }
  V slope(V y, V, V dy) const { return y > T(0) ? dy : negative * dy; }
};

template <class T>
struct Tanh {
  using V = Vec<T>;
  V value(V y) const { return tanh<T>(y); }
  V slope(V, V output, V dy) const { return dy * (T(1) - output * output); }
};

// Calls use(activation) with that of the layer; null: none.
template <class T, class Use>
void with_activation(const LenetLayer* layer, Use use) {
  if (!layer)
    use(NoActivation<T>());
  else if (layer->kind == kRelu)
    use(Relu<T>());
  else if (layer->kind == kLeakyRelu)
    use(LeakyRelu<T>{T(layer->slope)});
  else
    use(Tanh<T>());
}

}  // namespace lenet
