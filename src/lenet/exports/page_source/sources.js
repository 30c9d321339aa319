"use strict";
/* The ways an image comes in: files, the clipboard, the camera, and drawing. */

(() => {
  const MOST_PIXELS = 100e6, MOST_BYTES = 2 ** 29; // lenet's limits for an image

  const { element } = View;
  let asked = 0; // how many images were asked for: one that arrives after a later one was asked for is not shown

  /* Every way in starts here. */
  function onlyShow(part) {
    asked += 1;
    for (const id of ["drawing", "camera"]) element(id).hidden = id !== part;
    document.body.classList.toggle("busy", part !== "");
    if (part !== "camera") stopCamera();
  }

  async function classifyFile(file) {
    if (!file) return;
    const number = asked;
    const name = file.name || "the pasted image";
    if (file.size > MOST_BYTES) return View.fail(`Cannot read ${name}: it is larger than 512 MiB.`);
    let bitmap;
    try {
      bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    } catch {
      if (number === asked) View.fail(`Cannot read ${name}: it is not an image that this browser reads. Use PNG or JPEG.`);
      return;
    }
    const { width, height } = bitmap;
    try {
      if (number !== asked) return;
      if (width * height > MOST_PIXELS) return View.fail(`Cannot read ${name}: it has more than 100 million pixels.`);
      View.classifySource(bitmap, width, height, name);
    } catch {
      View.fail(`Cannot read ${name}: ${width} × ${height} pixels are too many for this browser.`);
    } finally {
      bitmap.close();
    }
  }

  element("choose").addEventListener("click", () => element("file").click());
  element("file").addEventListener("change", async (event) => {
    onlyShow("");
    await classifyFile(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  element("next").addEventListener("click", () => {
    onlyShow("");
    View.showNextSample();
  });

  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("over");
  });
  const firstFile = (transfer) => Array.from(transfer.files)[0];
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    onlyShow("");
    const file = firstFile(event.dataTransfer);
    if (file) classifyFile(file);
    else View.fail("Nothing was dropped that this page can read: drop an image file.");
  });
  document.addEventListener("paste", (event) => {
    onlyShow("");
    const file = firstFile(event.clipboardData);
    if (file) classifyFile(file);
    else View.fail("The clipboard has no image: copy an image, then paste it.");
  });

  /* Camera */

  let stream = null;

  function stopCamera() {
    for (const track of stream ? stream.getTracks() : []) track.stop();
    stream = null;
    element("video").srcObject = null;
  }

  element("photograph").addEventListener("click", async () => {
    onlyShow("");
    const number = asked;
    let opened;
    try {
      opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      if (number === asked) View.fail("The camera cannot be used: there is none, or this page was not allowed to use it.");
      return;
    }
    if (number !== asked) return opened.getTracks().forEach((track) => track.stop());
    stream = opened;
    element("error").hidden = true;
    element("video").srcObject = stream;
    onlyShow("camera");
    element("shoot").disabled = true; // until there is a picture
    await element("video").play();
    element("shoot").disabled = false;
    element("shoot").focus();
  });
  element("shoot").addEventListener("click", () => {
    const video = element("video");
    if (!video.videoWidth) return;
    View.classifySource(video, video.videoWidth, video.videoHeight, "Photograph");
    onlyShow("");
    element("photograph").focus();
  });
  element("stop").addEventListener("click", () => {
    onlyShow("");
    element("photograph").focus();
  });

  /* Drawing: light on dark if the training images are mostly dark, otherwise dark on light. */

  const board = element("board"), pen = board.getContext("2d", { willReadFrequently: true });
  const dark = View.mean.reduce((sum, value) => sum + value, 0) / View.mean.length < 0.42;
  let waiting = false;

  function clearBoard() {
    pen.fillStyle = dark ? "#000" : "#fff";
    pen.fillRect(0, 0, board.width, board.height);
    pen.strokeStyle = dark ? "#fff" : "#000";
    pen.lineWidth = board.width / 11;
    pen.lineCap = pen.lineJoin = "round";
  }

  function classifyBoard() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      View.classifySource(board, board.width, board.height, "Drawing");
    });
  }

  function place(event) {
    const box = board.getBoundingClientRect();
    const zoom = board.width / box.width;
    return [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
  }

  element("draw").addEventListener("click", () => {
    onlyShow("drawing");
    clearBoard();
    at = [board.width / 2, board.height / 2];
    showPen();
    board.scrollIntoView({ block: "nearest" });
    board.focus({ preventScroll: true });
  });
  element("clear").addEventListener("click", () => {
    clearBoard();
    classifyBoard();
  });
  element("drawn").addEventListener("click", () => {
    onlyShow("");
    element("draw").focus();
  });
  let at = null; // where the pen is

  function showPen() {
    element("pen").style.left = `${(100 * at[0]) / board.width}%`;
    element("pen").style.top = `${(100 * at[1]) / board.height}%`;
  }

  function lineTo(point) {
    pen.beginPath();
    pen.moveTo(...at);
    pen.lineTo(...point);
    pen.stroke();
    at = point;
    showPen();
    classifyBoard();
  }

  board.addEventListener("pointerdown", (event) => {
    board.setPointerCapture(event.pointerId);
    at = place(event);
    lineTo(at);
  });
  board.addEventListener("pointermove", (event) => {
    if (board.hasPointerCapture(event.pointerId)) lineTo(place(event));
  });
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  board.addEventListener("keydown", (event) => {
    const direction = directions[event.key];
    if (!direction || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault(); // the page does not scroll
    const point = at.map((value, i) => Math.min(board.width, Math.max(0, value + (direction[i] * board.width) / 20)));
    if (event.shiftKey) return lineTo(point);
    at = point;
    showPen();
  });
})();
