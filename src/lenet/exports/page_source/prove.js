"use strict";
/* Runs the network of a page on images and writes the probabilities, float64. Arguments: the page, a file of uint8
   pixels [images][height][width][channels], height, width, and the file to write. */

const fs = require("fs");

const [page, images, height, width, output] = process.argv.slice(2);
const html = fs.readFileSync(page, "utf8");
const part = (id) => html.match(new RegExp(`<script[^>]* id="${id}"[^>]*>([^]*?)</script>`))[1];
const Lenet = new Function(`${part("network")}\nreturn Lenet;`)();
const model = JSON.parse(part("model"));
const network = Lenet.load(model);
const pixels = fs.readFileSync(images);
const bytes = height * width * model.channels;
const found = new Float64Array((pixels.length / bytes) * model.classes.length);
for (let i = 0; i * bytes < pixels.length; i++) {
  const image = pixels.subarray(i * bytes, (i + 1) * bytes);
  found.set(network.classify(image, +height, +width).probabilities, i * model.classes.length);
}
fs.writeFileSync(output, Buffer.from(found.buffer));
