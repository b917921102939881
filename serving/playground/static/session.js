// Holds the prompts, and asks the server what they find.
import { Mask } from "./masks.js";

const LOWEST_THRESHOLD = 0.05; // asked for once; the slider only hides and shows
const EVERYTHING_POINTS_PER_SIDE = 16;
const COLORS = [
  [47, 111, 222], [230, 126, 34], [39, 174, 96], [192, 57, 121], [142, 68, 173],
  [22, 160, 168], [211, 84, 0], [127, 140, 20], [231, 76, 60], [93, 109, 126],
];

/** Makes a session without prompts. Objects: {points: [{xy, negative}], box}; examples: {xyxy, negative}. */
export function emptySession() {
  return { texts: [], examples: [], objects: [], isOpen: false, found: { concepts: [], objects: [], everything: [] } };
}

export async function findConcepts(api, target, signal) {
  const boxes = target.examples.map(({ xyxy: [x0, y0, x1, y1] }) => ({ x0, y0, x1, y1 }));
  const box_labels = target.examples.map((example) => (example.negative ? 0 : 1));
  const names = target.texts.length ? target.texts : boxes.length ? [null] : [];
  const prompts = names.map((text) => {
    const type = boxes.length ? "visual" : "text";
    return { type, ...(text && { text }), ...(boxes.length && { boxes, box_labels }) };
  });
  if (!prompts.length) {
    target.found.concepts = [];
    return;
  }
  const results = await api.segmentConcepts(prompts, LOWEST_THRESHOLD, signal);
  target.found.concepts = results.flatMap((result, index) =>
    result.predictions.map((prediction) => ({
      name: names[index] ?? "like the example",
      color: COLORS[index % COLORS.length],
      score: prediction.confidence,
      mask: new Mask(prediction.masks),
    })),
  );
}

export async function findObjects(api, target, signal) {
  const prompts = target.objects.map((object) => ({
    points: object.points.map(({ xy: [x, y], negative }) => ({ x, y, positive: !negative })),
    ...(object.box && { box: centered(object.box) }),
  }));
  const predictions = await api.segmentObjects(prompts, signal);
  target.found.objects = predictions.map((prediction, index) => ({
    name: `object ${index + 1}`,
    color: COLORS[(index + 3) % COLORS.length],
    score: prediction.confidence,
    mask: new Mask(prediction.masks),
    isExplicit: true,
  }));
}

export async function findEverything(api, target, signal) {
  const predictions = await api.segmentEverything(EVERYTHING_POINTS_PER_SIDE, signal);
  target.found.everything = predictions.map((prediction, index) => ({
    name: "thing",
    color: COLORS[index % COLORS.length],
    score: prediction.confidence,
    mask: new Mask(prediction.masks),
  }));
}

function centered([left, top, right, bottom]) {
  return { x: (left + right) / 2, y: (top + bottom) / 2, width: right - left, height: bottom - top };
}
