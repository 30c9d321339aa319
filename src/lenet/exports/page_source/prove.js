"use strict";
/* Runs the network of a page on images and writes the probabilities, float64. Arguments: the page, a file of uint8
   pixels [height][width][channels] of one image after the other, the file to write, and for each size the number of
   images, their height and width. */

const fs = require("fs");

const [page, images, output, ...shapes] = process.argv.slice(2);
const html = fs.readFileSync(page, "utf8");
const part = (id) => html.match(new RegExp(`<script[^>]* id="${id}"[^>]*>([^]*?)</script>`))[1];
const Lenet = new Function(`${part("network")}\nreturn Lenet;`)();
const model = JSON.parse(part("model"));
const network = Lenet.load(model);
const pixels = fs.readFileSync(images);
const found = [];
let begin = 0;
while (shapes.length) {
  const [count, height, width] = shapes.splice(0, 3).map(Number);
  for (let i = 0; i < count; i++) {
    const end = begin + height * width * model.channels;
    found.push(...network.classify(pixels.subarray(begin, end), height, width).probabilities);
    begin = end;
  }
}
fs.writeFileSync(output, Buffer.from(Float64Array.from(found).buffer));
