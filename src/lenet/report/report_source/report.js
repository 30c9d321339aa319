/* The images behind a cell of the confusion matrix. */

(() => {
  const element = (id) => document.getElementById(id);
  const { classes, columns, rows, tiles } = JSON.parse(element("mistakes").textContent);
  const cells = new Map(); // cell of the matrix to positions of images
  tiles.forEach(([real, predicted], number) => {
    const cell = real * classes.length + predicted;
    cells.set(cell, [...(cells.get(cell) || []), number]);
  });
  const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
  const namesOf = (cell) => [classes[Math.floor(cell / classes.length)], classes[cell % classes.length]];
  const said = (cell, count) => {
    const [real, predicted] = namesOf(cell);
    return `${counted(count, "image")} of ${real} predicted as ${predicted}`;
  };

  function made(kind, className, text) {
    const node = document.createElement(kind);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function tile(number) {
    const [real, predicted, confidence, name] = tiles[number];
    const figure = made("figure"), picture = made("div", "tile"), caption = made("figcaption");
    const across = (100 * (number % columns)) / Math.max(1, columns - 1);
    const down = (100 * Math.floor(number / columns)) / Math.max(1, rows - 1);
    picture.style.backgroundPosition = `${across}% ${down}%`;
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `${name}: true ${classes[real]}, predicted ${classes[predicted]}`);
    if (confidence !== null) caption.append(made("b", "", `${(100 * confidence).toFixed(1)}%`), made("br"));
    const file = made("span", "file", name);
    file.title = name;
    caption.append(file);
    figure.append(picture, caption);
    return figure;
  }

  function open(cell, count) {
    const shown = cells.get(cell) || [];
    const [real, predicted] = namesOf(cell);
    element("cell-title").textContent = `True: ${real}, predicted: ${predicted}`;
    const some = shown.length === count ? "" : `; this page contains ${shown.length || "none"} of them`;
    element("cell-said").textContent = `${counted(count, "image")}${some}`;
    element("cell-tiles").replaceChildren(...shown.map(tile));
    element("cell").showModal();
  }

  for (const button of document.querySelectorAll("button[data-c]")) {
    const cell = Number(button.dataset.c), count = Number(button.dataset.n);
    button.title = said(cell, count);
    if (button.closest("table")) button.setAttribute("aria-label", button.title);
    button.addEventListener("click", () => open(cell, count));
  }
  if (element("cell")) {
    element("cell-close").addEventListener("click", () => element("cell").close());
    element("cell").addEventListener("click", (event) => {
      if (event.target === element("cell")) element("cell").close(); // beside its content
    });
  }
})();
