// Labels as small filled chips, as the plugin draws them.

const MAX_WIDTH_RATIO = 2.5; // a chip much wider than its instance would hide others

/** Draws the chips that have room: {text, color, xywh}, larger instances first. */
export function drawLabels(context, labels, fontPx) {
  context.font = `${Math.round(fontPx)}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const height = fontPx * 1.5;
  const taken = [];
  for (const { text, color, xywh } of [...labels].sort((one, other) => area(other) - area(one))) {
    const width = context.measureText(text).width + fontPx * 0.8;
    if (width > MAX_WIDTH_RATIO * xywh[2]) continue;
    const left = clamp(xywh[0] + xywh[2] / 2 - width / 2, context.canvas.width - width);
    const places = [xywh[1] - height, xywh[1] + 1, xywh[1] + xywh[3] / 2];
    const top = places.find((y) => y >= 0 && !taken.some((other) => overlap([left, y, width, height], other)));
    if (top === undefined) continue;
    taken.push([left, top, width, height]);
    context.fillStyle = `rgb(${color})`;
    context.beginPath();
    context.roundRect(left, top, width, height, fontPx * 0.3);
    context.fill();
    context.fillStyle = color[0] * 0.3 + color[1] * 0.6 + color[2] * 0.1 > 110 ? "black" : "white";
    context.fillText(text, left + fontPx * 0.4, top + height / 2);
  }
}

function area({ xywh }) {
  return xywh[2] * xywh[3];
}

function clamp(value, end) {
  return Math.max(0, Math.min(value, end));
}

function overlap([x, y, width, height], [otherX, otherY, otherWidth, otherHeight]) {
  return x < otherX + otherWidth && otherX < x + width && y < otherY + otherHeight && otherY < y + height;
}
