// The two canvases: the image, and over it masks and prompts. Reports clicks and boxes.
import { drawLabels } from "./labels.js";

const DRAG_PX = 5;
const OUTLINE_PX = 2; // of the screen
const LABEL_PX = 12;

export class Stage {
  /** onPrompt({point: [x, y]} or {box: [left, top, right, bottom]}, negative); onHover([x, y] or null) */
  constructor(stage, { onPrompt, onHover }) {
    this.image = stage.querySelector("#image");
    this.overlay = stage.querySelector("#overlay");
    this.busy = stage.querySelector("#busy");
    this.onPrompt = onPrompt;
    this.onHover = onHover;
    this.start = null;
    this.cross = null;
    this.scene = null;
    this.labels = [];
    this.zoom = 1;
    this.masks = document.createElement("canvas");
    this.#listen();
    new ResizeObserver(() => this.redraw()).observe(this.overlay);
  }

  show(bitmap) {
    for (const canvas of [this.image, this.overlay, this.masks]) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    this.image.getContext("2d").drawImage(bitmap, 0, 0);
    this.start = this.cross = null;
    this.zoomTo(null);
  }

  /** Shows a part of the image, [left, top, width, height], as large as fits; null for all of it. */
  zoomTo(xywh) {
    const { clientWidth, clientHeight, width, height } = this.overlay;
    let transform = "";
    this.zoom = 1;
    if (xywh && clientWidth) {
      const [left, top, w, h] = xywh;
      this.zoom = Math.max(1, Math.min(8, (0.6 * width) / w, (0.6 * height) / h));
      const move = (center, end, length) =>
        Math.min(0, Math.max(length * (1 - this.zoom), length / 2 - (this.zoom * center * length) / end));
      const x = move(left + w / 2, width, clientWidth);
      const y = move(top + h / 2, height, clientHeight);
      transform = `translate(${x}px, ${y}px) scale(${this.zoom})`;
    }
    for (const canvas of [this.image, this.overlay]) canvas.style.transform = transform;
    this.redraw();
  }

  /** Pixels of the image for one pixel of the screen. */
  get scale() {
    return this.overlay.width / Math.max(1, this.overlay.clientWidth) / this.zoom;
  }

  /** instances: {mask, color}; prompts: {points, boxes} with `negative`. */
  draw(instances, highlighted, prompts) {
    const context = this.masks.getContext("2d");
    const pixels = context.createImageData(this.masks.width, this.masks.height);
    const outlinePx = Math.max(1, Math.round(OUTLINE_PX * this.scale));
    for (const instance of instances) {
      const opacity = !highlighted ? 0.4 : instance === highlighted ? 0.7 : 0.15;
      instance.mask.paint(pixels.data, instance.color, opacity, outlinePx);
    }
    context.putImageData(pixels, 0, 0);
    this.labels = instances.map(({ name, score, color, mask }) => ({
      text: `${name} ${score.toFixed(2)}`, color, xywh: mask.xywh,
    }));
    this.scene = prompts;
    this.redraw();
  }

  redraw() {
    const context = this.overlay.getContext("2d");
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    if (!this.scene) return;
    context.drawImage(this.masks, 0, 0);
    drawLabels(context, this.labels, LABEL_PX * this.scale);
    for (const box of this.scene.boxes) this.#drawBox(context, box.xyxy, box.negative);
    for (const point of this.scene.points) this.#drawPoint(context, point);
    if (this.start?.box) this.#drawBox(context, this.start.box, this.start.negative);
    if (this.cross && document.activeElement === this.overlay) this.#drawCross(context);
  }

  /** The image with the masks, without prompts. */
  async toPng() {
    const canvas = document.createElement("canvas");
    canvas.width = this.image.width;
    canvas.height = this.image.height;
    const context = canvas.getContext("2d");
    context.drawImage(this.image, 0, 0);
    context.drawImage(this.masks, 0, 0);
    drawLabels(context, this.labels, LABEL_PX * this.scale);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  /** The pixels of one instance, in the size of its box; transparent around it. */
  async toCutOut({ mask }) {
    const [left, top, width, height] = mask.xywh;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    mask.forEachColumnRun((x, first, end) => context.fillRect(x - left, first - top, 1, end - first));
    context.globalCompositeOperation = "source-in";
    context.drawImage(this.image, -left, -top);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  #drawPoint(context, { xy: [x, y], negative }) {
    const radius = 6 * this.scale;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = negative ? "#c62828" : "#1b7f3b";
    context.fill();
    context.lineWidth = 2 * this.scale;
    context.strokeStyle = "#fff";
    context.stroke();
    context.beginPath();
    context.moveTo(x - radius / 2, y);
    context.lineTo(x + radius / 2, y);
    if (!negative) {
      context.moveTo(x, y - radius / 2);
      context.lineTo(x, y + radius / 2);
    }
    context.stroke();
  }

  #drawBox(context, [left, top, right, bottom], negative) {
    for (const [color, width, dash] of [["#fff", 4, []], [negative ? "#c62828" : "#1b7f3b", 2, [6, 4]]]) {
      context.strokeStyle = color;
      context.lineWidth = width * this.scale;
      context.setLineDash(dash.map((length) => length * this.scale));
      context.strokeRect(left, top, right - left, bottom - top);
    }
    context.setLineDash([]);
  }

  #drawCross(context) {
    const [x, y] = this.cross;
    const arm = 12 * this.scale;
    for (const [color, width] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width * this.scale;
      context.beginPath();
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
      context.stroke();
    }
  }

  #locate(event) {
    const frame = this.overlay.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * this.overlay.width;
    const y = ((event.clientY - frame.top) / frame.height) * this.overlay.height;
    return [clamp(x, this.overlay.width), clamp(y, this.overlay.height)];
  }

  #listen() {
    const canvas = this.overlay;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 1) return;
      canvas.setPointerCapture(event.pointerId);
      this.start = { xy: this.#locate(event), negative: event.button === 2 || event.altKey };
    });
    canvas.addEventListener("pointermove", (event) => {
      const xy = this.#locate(event);
      if (!this.start) return this.onHover(xy);
      this.start.box = this.#boxTo(xy);
      this.redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!this.start) return;
      const { xy, negative } = this.start;
      const box = this.#boxTo(this.#locate(event));
      this.start = null;
      this.onPrompt(box ? { box } : { point: xy }, negative);
      this.redraw();
    });
    canvas.addEventListener("pointercancel", () => this.#cancel());
    canvas.addEventListener("pointerleave", () => this.onHover(null));
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.redraw());
  }

  #boxTo([x, y]) {
    const [left, top] = this.start.xy;
    const least = DRAG_PX * this.scale;
    if (Math.abs(x - left) < least || Math.abs(y - top) < least) return null;
    return [Math.min(x, left), Math.min(y, top), Math.max(x, left), Math.max(y, top)];
  }

  #cancel() {
    this.start = null;
    this.redraw();
  }

  #onKey(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { width, height } = this.overlay;
    this.cross ??= [width / 2, height / 2];
    if (event.key in directions) {
      const step = (event.shiftKey ? 1 : 10) * this.scale;
      const [dx, dy] = directions[event.key];
      this.cross = [clamp(this.cross[0] + dx * step, width), clamp(this.cross[1] + dy * step, height)];
      if (this.start) this.start.box = this.#boxTo(this.cross);
      this.onHover(this.cross);
    } else if (event.key === "Enter") {
      this.onPrompt({ point: [...this.cross] }, event.altKey);
    } else if (event.key.toLowerCase() === "b" && !event.ctrlKey) {
      const box = this.start && this.#boxTo(this.cross);
      const negative = event.altKey;
      this.start = this.start ? null : { xy: [...this.cross], negative };
      if (box) this.onPrompt({ box }, negative);
    } else if (event.key === "Escape") {
      this.zoomTo(null);
      this.#cancel();
    } else {
      return;
    }
    event.preventDefault();
    this.redraw();
  }
}

function clamp(value, end) {
  return Math.min(Math.max(value, 0), end - 0.01);
}
