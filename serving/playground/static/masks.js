// Masks as run lengths: decoding, hit tests, painting. They are never unpacked to full size.

/** Run lengths of COCO's compressed text, column after column, the first of background. */
export function decodeCounts(text) {
  const counts = [];
  for (let place = 0; place < text.length; ) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const byte = text.charCodeAt(place++) - 48;
      value |= (byte & 0x1f) << shift;
      more = (byte & 0x20) !== 0;
      shift += 5;
      if (!more && byte & 0x10 && shift < 32) value |= -1 << shift;
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/** A mask with its runs of foreground as [first, end) of the image read down its columns. */
export class Mask {
  constructor(rle) {
    [this.height, this.width] = rle.size;
    this.rle = rle;
    const counts = decodeCounts(rle.counts);
    this.starts = [];
    this.ends = [];
    let place = 0;
    counts.forEach((count, index) => {
      if (index % 2 && count) {
        this.starts.push(place);
        this.ends.push(place + count);
      }
      place += count;
    });
    this.#measure();
  }

  contains(x, y) {
    const place = Math.floor(x) * this.height + Math.floor(y);
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ends[middle] <= place) low = middle + 1;
      else high = middle;
    }
    return low < this.starts.length && this.starts[low] <= place;
  }

  /** Intersection over union with another mask of the image, 0 to 1. */
  iou(other) {
    let shared = 0;
    for (let mine = 0, its = 0; mine < this.starts.length && its < other.starts.length; ) {
      const start = Math.max(this.starts[mine], other.starts[its]);
      shared += Math.max(0, Math.min(this.ends[mine], other.ends[its]) - start);
      if (this.ends[mine] < other.ends[its]) mine++;
      else its++;
    }
    return shared && shared / (this.area + other.area - shared);
  }

  /** Calls paint(x, top, bottom) for every stretch of a column. */
  forEachColumnRun(paint) {
    this.starts.forEach((start, index) => {
      let place = start;
      while (place < this.ends[index]) {
        const x = Math.floor(place / this.height);
        const end = Math.min(this.ends[index], (x + 1) * this.height);
        paint(x, place - x * this.height, end - x * this.height);
        place = end;
      }
    });
  }

  #measure() {
    this.area = 0;
    let [left, top, right, bottom] = [this.width, this.height, 0, 0];
    this.forEachColumnRun((x, first, end) => {
      this.area += end - first;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, first);
      bottom = Math.max(bottom, end);
    });
    this.xywh = this.area ? [left, top, right - left, bottom - top] : [0, 0, 0, 0];
  }

  /** Blends the mask into pixels of the image's size, with an outline. */
  paint(pixels, [red, green, blue], opacity, outlinePx) {
    if (!this.area) return;
    const [left, top, width, height] = this.xywh;
    const crop = new Uint8Array(width * height);
    this.forEachColumnRun((x, first, end) => {
      for (let y = first; y < end; y++) crop[(y - top) * width + x - left] = 1;
    });
    const isInside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && crop[y * width + x];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (!crop[y * width + x]) continue;
        const isEdge = !(isInside(x - outlinePx, y) && isInside(x + outlinePx, y) &&
          isInside(x, y - outlinePx) && isInside(x, y + outlinePx));
        const place = ((y + top) * this.width + x + left) * 4;
        const share = isEdge ? 1 : opacity;
        const old = (pixels[place + 3] / 255) * (1 - share);
        const total = share + old;
        pixels[place] = (red * share + pixels[place] * old) / total;
        pixels[place + 1] = (green * share + pixels[place + 1] * old) / total;
        pixels[place + 2] = (blue * share + pixels[place + 2] * old) / total;
        pixels[place + 3] = 255 * total;
      }
    }
  }
}

/** What was found as a COCO file. */
export function toCoco(instances, fileName, width, height) {
  const names = [...new Set(instances.map((instance) => instance.name))];
  return {
    images: [{ id: 1, file_name: fileName, width, height }],
    categories: names.map((name, index) => ({ id: index + 1, name })),
    annotations: instances.map((instance, index) => ({
      id: index + 1,
      image_id: 1,
      category_id: names.indexOf(instance.name) + 1,
      segmentation: instance.mask.rle,
      bbox: instance.mask.xywh,
      area: instance.mask.area,
      score: instance.score,
      iscrowd: 0,
    })),
  };
}
