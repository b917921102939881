// A video: sends it, shows how far it is, and paints its tracks over it while it plays.
import { drawLabels } from "./labels.js";
import { Mask } from "./masks.js";

const OUTLINE_PX = 2; // of the screen
const OPACITY = 0.4;
const LABEL_PX = 13;

export class VideoView {
  /** onStatus(text) and onError(text) tell the user; onChange() is called when tracking starts or ends. */
  constructor(root, { onStatus, onError, onChange }) {
    this.root = root;
    this.video = root.querySelector("video");
    this.overlay = root.querySelector("canvas");
    this.progress = root.querySelector("progress");
    this.onStatus = onStatus;
    this.onError = onError;
    this.onChange = onChange;
    this.palette = [[225, 40, 170]];
    this.file = null;
    this.rows = [];
    this.running = null;
    this.video.addEventListener("seeked", () => this.draw());
    this.video.addEventListener("play", () => this.#play());
    new ResizeObserver(() => this.draw()).observe(this.video);
  }

  get isTracking() {
    return this.running !== null;
  }

  open(file) {
    this.close();
    this.file = file;
    this.video.src = URL.createObjectURL(file);
    this.root.hidden = false;
    this.onStatus(`${file.name}: write what to follow, then Find.`);
  }

  /** Ends tracking and shows no video. */
  close() {
    this.cancel();
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.root.hidden = true;
    this.file = null;
    this.rows = [];
  }

  cancel() {
    this.running?.abort();
  }

  async follow(text, key) {
    this.cancel();
    const own = (this.running = new AbortController());
    this.rows = [];
    this.progress.hidden = false;
    this.progress.removeAttribute("value");
    this.onChange();
    try {
      for await (const line of this.#ask(text, key, own.signal)) this.#take(line);
      const tracks = new Set(this.rows.flatMap((row) => row.instances.map((instance) => instance.track_id)));
      for (const id of this.rows.flatMap((row) => row.removed)) tracks.delete(id);
      this.onStatus(`${this.rows.length} frames, ${tracks.size} tracks.`);
      this.video.currentTime = 0;
    } catch (error) {
      if (error.name === "AbortError") this.onStatus(`Cancelled after ${this.rows.length} frames.`);
      else this.onError(error.message);
    } finally {
      if (this.running === own) {
        this.running = null;
        this.progress.hidden = true;
        this.onChange();
      }
    }
  }

  /** The rows of all frames as JSON lines, as the plugin's auto-save writes them. */
  toJsonLines() {
    return this.rows.map((row) => JSON.stringify(row) + "\n").join("");
  }

  draw() {
    const row = this.rows[Math.min(this.rows.length - 1, Math.floor(this.video.currentTime * this.fps + 0.01))];
    const context = this.overlay.getContext("2d");
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    if (!row) return;
    [this.overlay.width, this.overlay.height] = [row.width, row.height];
    const scale = row.width / Math.max(1, this.video.clientWidth);
    const pixels = context.createImageData(row.width, row.height);
    for (const instance of row.instances) {
      const outlinePx = Math.max(1, Math.round(OUTLINE_PX * scale));
      new Mask(instance.segmentation).paint(pixels.data, this.#color(instance), OPACITY, outlinePx);
    }
    context.putImageData(pixels, 0, 0);
    const labels = row.instances.map((instance) => ({
      text: `${instance.category} #${instance.track_id}`, color: this.#color(instance), xywh: instance.bbox,
    }));
    drawLabels(context, labels, LABEL_PX * scale);
  }

  #color({ track_id }) {
    return this.palette[track_id % this.palette.length];
  }

  #take(line) {
    if (line.error) throw new Error(line.error);
    if (line.fps) {
      this.fps = line.fps;
      this.count = line.frames;
      return;
    }
    this.rows.push(line);
    if (this.count) this.progress.value = this.rows.length / this.count;
    this.onStatus(`Frame ${this.rows.length}${this.count ? ` of ${this.count}` : ""}`);
    if (!this.video.seeking && this.video.paused) this.video.currentTime = (line.frame + 0.5) / this.fps;
  }

  async *#ask(text, key, signal) {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const path = `/playground/video?text=${encodeURIComponent(text)}`;
    const response = await fetch(path, { method: "POST", body: this.file, headers, signal });
    if (!response.ok) {
      const answer = await response.json().catch(() => ({}));
      throw new Error(answer.message ?? `The server answered ${response.status}.`);
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) yield JSON.parse(line);
    }
  }

  #play() {
    const paint = () => {
      this.draw();
      if (!this.video.paused && !this.video.ended) requestAnimationFrame(paint);
    };
    requestAnimationFrame(paint);
  }
}
