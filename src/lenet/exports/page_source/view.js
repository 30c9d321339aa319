"use strict";
/* What the page shows. */

const View = (() => {
  const TOLERANCE = 1e-5; // of a probability, as in lenet's comparison
  const SHOWN = 10; // classes
  const MAPS = 64; // per layer

  const element = (id) => document.getElementById(id);
  const model = JSON.parse(element("model").textContent);
  const network = Lenet.load(model);
  const samples = model.checks.filter(({ height, width }) => height === model.side && width === model.side);
  let sample = 0;
  let saying = 0;

  /* Numbers and classes */

  const percent = (value) => `${(100 * value).toFixed(1)}%`;
  const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

  function ranked(probabilities) {
    const order = Array.from(probabilities.keys()).sort((one, other) => probabilities[other] - probabilities[one]);
    return order.slice(0, SHOWN).map((number) => ({ name: model.classes[number], probability: probabilities[number] }));
  }

  function verify() {
    const right = model.checks.filter(({ pixels, height, width, probabilities }) => {
      const wanted = Lenet.floatsOf(probabilities);
      const found = network.classify(Lenet.bytesOf(pixels), height, width).probabilities;
      return found.every((value, k) => Math.abs(value - wanted[k]) <= TOLERANCE);
    });
    const all = model.checks.length, good = right.length === all;
    element("status").className = good ? "good" : "bad";
    element("status").textContent = good
      ? `Matches training: ${all} of ${all} check images`
      : `Does not match training: only ${right.length} of ${all} check images agree. Use another browser.`;
  }

  /* Drawing results */

  function made(kind, className, text) {
    const node = document.createElement(kind);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  /* value(channel, i): 0..255; one channel is grey. */
  function paint(canvas, height, width, channels, value) {
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height);
    for (let i = 0; i < height * width; i++) {
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = value(channels === 1 ? 0 : c, i);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  const paintPixels = (canvas, pixels, height, width) =>
    paint(canvas, height, width, model.channels, (c, i) => pixels[i * model.channels + c]);

  function showBars(rows) {
    element("answer").textContent = `Result: ${rows[0].name}, ${percent(rows[0].probability)}`;
    element("bars").replaceChildren(
      ...rows.map(({ name, probability }) => {
        const row = made("li"), track = made("span", "track"), filled = made("span");
        filled.style.width = percent(probability);
        track.append(filled);
        track.setAttribute("aria-hidden", "true");
        const value = made("data", "value", percent(probability));
        value.value = probability;
        row.append(made("span", "name", name), track, value);
        return row;
      }),
    );
    clearTimeout(saying); // of a drawing, the last result is read out
    const text = rows.map(({ name, probability }) => `${name} ${percent(probability)}`).join(", ");
    saying = setTimeout(() => (element("said").textContent = text), 300);
  }

  /* The canvases of a layer are made once. */
  const layers = [];

  function layerBox(step) {
    const isMaps = step.output.length === 3 && step.output[1] * step.output[2] > 1;
    const [count, height, width] = isMaps ? step.output : [1, 1, step.values.length];
    const shown = Math.min(count, MAPS);
    const text = isMaps ? `${counted(count, "map")} of ${height}\u00a0×\u00a0${width}` : counted(width, "value");
    const box = made("div", "layer"), title = made("h3", "", step.where), maps = made("div", "maps");
    const sum = step.branches ? ", the sum of body and shortcut" : "";
    title.append(made("span", "", `: ${text}${shown < count ? `, the first ${shown}` : ""}${sum}`));
    maps.setAttribute("role", "img");
    maps.setAttribute("aria-label", `${step.where}: ${text}`);
    const canvases = Array.from({ length: shown }, () => made("canvas"));
    if (!isMaps) maps.classList.add("vector");
    else if (Math.max(height, width) <= 8) maps.classList.add("tiny");
    maps.append(...canvases);
    box.append(title, maps);
    if (step.branches) box.append(branchesBox(step));
    layers.push({ step, canvases, height, width, isMaps });
    return box;
  }

  const layerBoxes = (steps) => steps.filter(({ kind }) => kind !== "flatten").map(layerBox);

  /* The layers inside a residual block, folded: there may be more of them than outside. */
  function branchesBox({ branches: [body, shortcut] }) {
    const box = made("details");
    box.append(made("summary", "", "Body and shortcut"), ...layerBoxes(body), ...layerBoxes(shortcut));
    if (!shortcut.length) box.append(made("p", "hint", "The shortcut is the input of the block, unchanged."));
    return box;
  }

  element("layers").append(...layerBoxes(network.steps));

  function showLayers() {
    for (const { step, canvases, height, width, isMaps } of layers) {
      const values = step.values;
      let low = Infinity, high = -Infinity;
      for (const value of values) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      const scale = high > low ? 255 / (high - low) : 0;
      if (isMaps) {
        canvases.forEach((canvas, map) => {
          paint(canvas, height, width, 1, (c, i) => (values[map * height * width + i] - low) * scale);
        });
      } else {
        const wide = Math.min(width, 24), high = Math.ceil(width / wide);
        const shown = (i) => (i < width ? (values[i] - low) * scale : 0);
        paint(canvases[0], high, wide, 1, (c, i) => shown(i));
        canvases[0].style.width = `${12 * wide}px`;
      }
    }
  }

  /* pixels: Uint8Array [height][width][channels]; caption: what the image is. */
  function classify(pixels, height, width, caption) {
    const { probabilities, pixels: seen } = network.classify(pixels, height, width);
    element("error").hidden = true;
    paintPixels(element("seen"), seen, model.side, model.side);
    const rows = ranked(probabilities);
    element("given-caption").textContent = caption;
    element("given").setAttribute("aria-label", caption);
    element("seen-caption").textContent = `At the network's size, ${model.side} × ${model.side} pixels`;
    element("seen").setAttribute("aria-label", `The image at ${model.side} by ${model.side} pixels`);
    showBars(rows);
    showLayers();
  }

  function showSample() {
    const { pixels, height, width } = samples[sample % samples.length];
    const bytes = Lenet.bytesOf(pixels);
    paintPixels(element("given"), bytes, height, width);
    element("given").className = "small";
    classify(bytes, height, width, `Check image ${(sample % samples.length) + 1} of ${samples.length}`);
  }

  /* source: anything that a canvas draws. Transparent pixels become white, as in lenet. */
  function classifySource(source, width, height, caption) {
    const canvas = made("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.drawImage(source, 0, 0);
    const rgba = context.getImageData(0, 0, width, height).data;
    const zoom = Math.min(1, 640 / Math.max(width, height));
    const given = element("given");
    given.width = Math.max(1, Math.round(width * zoom));
    given.height = Math.max(1, Math.round(height * zoom));
    given.className = Math.max(width, height) < 200 ? "small" : "";
    given.getContext("2d").drawImage(canvas, 0, 0, given.width, given.height);
    classify(Lenet.channelsOf(rgba, model.channels), height, width, `${caption}, ${width} × ${height} pixels`);
  }

  function fail(message) {
    element("error").textContent = message;
    element("error").hidden = false;
  }

  function showNextSample() {
    sample += 1;
    showSample();
  }

  verify();
  showSample();
  return { classifySource, element, fail, mean: model.mean, showNextSample };
})();
