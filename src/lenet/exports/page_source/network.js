"use strict";
/* The network of the page: fit, normalization, layers, softmax. It needs nothing of a browser, so that lenet can run it
   with Node before it writes the page. Maps are Float32Arrays of [channel][row][column]; sums are float64. */

const Lenet = (() => {
  const HALF = 1 << 21; // weights of the fit are in units of 1 / 2^22

  function bytesOf(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  const floatsOf = (base64) => new Float32Array(bytesOf(base64).buffer);

  /* RGBA bytes without transparency to [row][column][channel]; grey as Pillow converts it. */
  function channelsOf(rgba, channels) {
    const count = rgba.length / 4;
    const pixels = new Uint8Array(count * channels);
    for (let i = 0; i < count; i++) {
      const red = rgba[4 * i], green = rgba[4 * i + 1], blue = rgba[4 * i + 2];
      if (channels === 1) {
        pixels[i] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
      } else {
        pixels[3 * i] = red;
        pixels[3 * i + 1] = green;
        pixels[3 * i + 2] = blue;
      }
    }
    return pixels;
  }

  /* The fit: pixel for pixel what lenet does, in whole numbers. */

  /* For each of `inner` outputs: the first input and the weights. They show `extent` inputs from start / 2. */
  function axisOf(side, extent, start, inner) {
    const reach = 2 * Math.max(extent, inner);
    const axis = [];
    for (let y = 0; y < inner; y++) {
      const centre = start * inner + (2 * y + 1) * extent;
      const first = Math.max(0, Math.floor((centre - reach + inner) / (2 * inner)));
      const end = Math.min(side, Math.floor((centre + reach + inner) / (2 * inner)));
      const parts = [];
      let total = 0;
      for (let i = first; i < end; i++) {
        const part = Math.max(0, reach - Math.abs((2 * i + 1) * inner - centre));
        parts.push(part);
        total += part;
      }
      axis.push({ first, weights: parts.map((part) => Math.floor((part * 8388608 + total) / (2 * total))) });
    }
    return axis;
  }

  const clipped = (sum) => Math.min(255, sum >> 22);

  /* [height][width][channels] to [height][axis][channels], of the rows from `top` to `bottom`. */
  function acrossOf(pixels, width, channels, axis, top, bottom) {
    const out = new Uint8Array((bottom - top) * axis.length * channels);
    axis.forEach(({ first, weights }, x) => {
      for (let row = top; row < bottom; row++) {
        for (let c = 0; c < channels; c++) {
          let sum = HALF;
          let at = (row * width + first) * channels + c;
          for (let i = 0; i < weights.length; i++, at += channels) sum += weights[i] * pixels[at];
          out[((row - top) * axis.length + x) * channels + c] = clipped(sum);
        }
      }
    });
    return out;
  }

  /* [rows][length] to [axis][length]; `pixels` begins at row `top`. */
  function downOf(pixels, length, axis, top) {
    const out = new Uint8Array(axis.length * length);
    const sums = new Int32Array(length);
    axis.forEach(({ first, weights }, y) => {
      sums.fill(HALF);
      weights.forEach((weight, i) => {
        const at = (first - top + i) * length;
        for (let k = 0; k < length; k++) sums[k] += weight * pixels[at + k];
      });
      for (let k = 0; k < length; k++) out[y * length + k] = clipped(sums[k]);
    });
    return out;
  }

  /* side * size / longest, rounded, a half to the even number; at least 1. */
  function paddedSide(side, longest, size) {
    const exact = (side * size) / longest;
    const up = Math.floor(exact + 0.5);
    return Math.max(1, up - exact === 0.5 ? up - (up % 2) : up);
  }

  function fitted(pixels, height, width, { side: size, channels, fit, tall_first: tallFirst }) {
    let extents = [height, width], starts = [0, 0], inner = [size, size];
    if (fit === "crop") {
      const side = Math.min(height, width);
      extents = [side, side];
      starts = [height - side, width - side];
    } else if (fit === "pad") {
      inner = extents.map((side) => paddedSide(side, Math.max(height, width), size));
    }
    const rows = axisOf(height, extents[0], starts[0], inner[0]);
    const columns = axisOf(width, extents[1], starts[1], inner[1]);
    let out;
    if (tallFirst && height - inner[0] > 2 * Math.max(0, width - inner[1])) {
      out = acrossOf(downOf(pixels, width * channels, rows, 0), width, channels, columns, 0, inner[0]);
    } else {
      const top = rows[0].first, last = rows[rows.length - 1];
      const across = acrossOf(pixels, width, channels, columns, top, last.first + last.weights.length);
      out = downOf(across, inner[1] * channels, rows, top);
    }
    if (inner[0] === size && inner[1] === size) return out;
    const square = new Uint8Array(size * size * channels);
    const top = Math.floor((size - inner[0]) / 2), left = Math.floor((size - inner[1]) / 2);
    const length = inner[1] * channels;
    for (let y = 0; y < inner[0]; y++) {
      square.set(out.subarray(y * length, (y + 1) * length), ((top + y) * size + left) * channels);
    }
    return square;
  }

  /* The layers: each a function of the step, its input and its output. */

  /* Each output row's patches are copied out, then multiplied: 4 outputs by 2 columns at a time stay in registers. */
  function conv(step, x, y) {
    const { weight, bias, kernel, stride, dilation, groups, rows, columns, patches } = step;
    const [, height, width] = step.input, [outputs, high, wide] = step.output;
    const ownOut = outputs / groups, ownIn = step.input[0] / groups, length = ownIn * kernel[0] * kernel[1];
    for (let row = 0; row < high; row++) {
      for (let group = 0; group < groups; group++) {
        let k = 0;
        for (let channel = group * ownIn; channel < (group + 1) * ownIn; channel++) {
          for (let ky = 0; ky < kernel[0]; ky++) {
            const r = rows[row * stride[0] + ky * dilation[0]];
            const begin = (channel * height + r) * width;
            for (let kx = 0; kx < kernel[1]; kx++, k++) {
              for (let column = 0, at = kx * dilation[1]; column < wide; column++, at += stride[1]) {
                const c = columns[at];
                patches[column * length + k] = r < 0 || c < 0 ? 0 : x[begin + c];
              }
            }
          }
        }
        const end = (group + 1) * ownOut;
        for (let o0 = group * ownOut; o0 < end; o0 += 4) {
          const o1 = Math.min(o0 + 1, end - 1), o2 = Math.min(o0 + 2, end - 1), o3 = Math.min(o0 + 3, end - 1);
          const w0 = o0 * length, w1 = o1 * length, w2 = o2 * length, w3 = o3 * length;
          for (let c0 = 0; c0 < wide; c0 += 2) {
            const c1 = Math.min(c0 + 1, wide - 1);
            const p0 = c0 * length, p1 = c1 * length;
            let a0 = bias[o0], a1 = bias[o1], a2 = bias[o2], a3 = bias[o3], b0 = a0, b1 = a1, b2 = a2, b3 = a3;
            for (let i = 0; i < length; i++) {
              const p = patches[p0 + i], q = patches[p1 + i];
              const u0 = weight[w0 + i], u1 = weight[w1 + i], u2 = weight[w2 + i], u3 = weight[w3 + i];
              a0 += p * u0; a1 += p * u1; a2 += p * u2; a3 += p * u3;
              b0 += q * u0; b1 += q * u1; b2 += q * u2; b3 += q * u3;
            }
            const at = row * wide, map = high * wide;
            y[o0 * map + at + c0] = a0; y[o1 * map + at + c0] = a1;
            y[o2 * map + at + c0] = a2; y[o3 * map + at + c0] = a3;
            y[o0 * map + at + c1] = b0; y[o1 * map + at + c1] = b1;
            y[o2 * map + at + c1] = b2; y[o3 * map + at + c1] = b3;
          }
        }
      }
    }
  }

  function linear({ weight, bias }, x, y) {
    for (let o = 0; o < y.length; o++) {
      let sum = bias[o];
      for (let i = 0, at = o * x.length; i < x.length; i++) sum += x[i] * weight[at + i];
      y[o] = sum;
    }
  }

  function scale({ factor, shift }, x, y) {
    const each = x.length / factor.length;
    for (let i = 0; i < x.length; i++) {
      const c = Math.floor(i / each);
      y[i] = x[i] * factor[c] + shift[c];
    }
  }

  /* A sum of positive terms: exp(-x^2) * 2 / sqrt(pi) * (x + 2 x^3 / 3 + 4 x^5 / 15 + ...) */
  function erf(x) {
    if (Math.abs(x) > 6) return Math.sign(x);
    let term = x, sum = x;
    for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) sum += term *= (2 * x * x) / n;
    return sum * Math.exp(-x * x) * (2 / Math.sqrt(Math.PI));
  }

  const FUNCTIONS = {
    relu: () => (x) => (x > 0 ? x : 0),
    leaky_relu: (slope) => (x) => (x > 0 ? x : x * slope),
    tanh: () => Math.tanh,
    gelu: () => (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
    gelu_tanh: () => (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
  };

  function activation(step, x, y) {
    const value = FUNCTIONS[step.function](step.slope);
    for (let i = 0; i < x.length; i++) y[i] = value(x[i]);
  }

  function maxPool({ input, output, kernel, stride, dilation, padding }, x, y) {
    const [channels, height, width] = input, [, high, wide] = output;
    let at = 0;
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < high; row++) {
        for (let column = 0; column < wide; column++) {
          let most = -Infinity;
          for (let ky = 0; ky < kernel[0]; ky++) {
            const r = row * stride[0] + ky * dilation[0] - padding[0];
            if (r < 0 || r >= height) continue;
            for (let kx = 0; kx < kernel[1]; kx++) {
              const c = column * stride[1] + kx * dilation[1] - padding[1];
              if (c < 0 || c >= width) continue;
              const value = x[(channel * height + r) * width + c];
              if (value > most) most = value;
            }
          }
          y[at++] = most;
        }
      }
    }
  }

  /* rows, columns: [first, after the last, weight] of each output. */
  function averagePool({ input, rows, columns }, x, y) {
    const [channels, height, width] = input;
    let at = 0;
    for (let channel = 0; channel < channels; channel++) {
      for (const [top, bottom, down] of rows) {
        for (const [left, right, across] of columns) {
          let sum = 0;
          for (let r = top; r < bottom; r++) {
            for (let c = left; c < right; c++) sum += x[(channel * height + r) * width + c];
          }
          y[at++] = sum * down * across;
        }
      }
    }
  }

  const LAYERS = { conv, linear, scale, activation, max_pool: maxPool, average_pool: averagePool };
  const product = (shape) => shape.reduce((one, other) => one * other, 1);

  /* What the steps give for x. */
  function through(steps, x) {
    for (const step of steps) {
      if (step.kind === "flatten") {
        step.values = x; // the same values in the same order
      } else if (step.kind === "residual") {
        const [body, shortcut] = step.branches.map((branch) => through(branch, x));
        for (let i = 0; i < step.values.length; i++) step.values[i] = body[i] + shortcut[i];
      } else {
        LAYERS[step.kind](step, x, step.values);
      }
      x = step.values;
    }
    return x;
  }

  /* model: what lenet writes into the page. */
  function load(model) {
    const all = floatsOf(model.weights);
    const prepared = (step) => {
      const loaded = { ...step, values: new Float32Array(product(step.output)) };
      for (const [name, [begin, end]] of Object.entries(step.arrays)) loaded[name] = all.subarray(begin, end);
      if (step.kind === "conv") {
        loaded.rows = Int32Array.from(step.rows);
        loaded.columns = Int32Array.from(step.columns);
        const length = (step.input[0] / step.groups) * step.kernel[0] * step.kernel[1];
        loaded.patches = new Float32Array(step.output[2] * length);
      }
      if (step.kind === "residual") loaded.branches = step.branches.map((branch) => branch.map(prepared));
      return loaded;
    };
    const steps = model.steps.map(prepared);
    const { side, channels, mean, std, temperature } = model;
    const input = new Float32Array(side * side * channels);

    /* Uint8Array [height][width][channels] to probabilities. The steps' `values` are those of this image until the
       next one; `pixels` is the image at the network's size. */
    function classify(image, height, width) {
      const pixels = height === side && width === side ? image : fitted(image, height, width, model);
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < side * side; i++) {
          input[c * side * side + i] = (pixels[i * channels + c] / 255 - mean[c]) / std[c];
        }
      }
      const x = through(steps, input);
      const highest = x.reduce((one, other) => Math.max(one, other));
      const powers = Float64Array.from(x, (logit) => Math.exp((logit - highest) / temperature));
      const total = powers.reduce((sum, power) => sum + power);
      return { probabilities: powers.map((power) => power / total), pixels };
    }

    return { classify, steps };
  }

  return { load, bytesOf, floatsOf, channelsOf, fitted };
})();
