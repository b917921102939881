// Holds the prompts, and asks the server what they find.
import { Mask } from "./masks.js";

const LOWEST_THRESHOLD = 0.05; // asked for once; the slider only hides and shows
const EVERYTHING_POINTS_PER_SIDE = 16;
const SAME_IOU = 0.9; // of an instance that was named, and is found again
let colors = [[20, 110, 255]]; // until the server has said which it draws with

/** Takes the palette of the server: RGB, 0 to 255, the order of everything drawn. */
export function setPalette(palette) {
  colors = palette;
}

/** Makes a session without prompts. Objects: {points: [{xy, negative}], box}; examples: {xyxy, negative}. */
export function emptySession() {
  return { texts: [], examples: [], objects: [], isOpen: false, best: [], steps: [], found: { concepts: [], described: [], objects: [], everything: [] } };
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
    target.best = [];
    return;
  }
  const results = await api.segmentConcepts(prompts, LOWEST_THRESHOLD, signal);
  target.best = results.map((result, index) => ({ name: names[index], score: result.best_score }));
  const concepts = results.flatMap((result, index) =>
    result.predictions.map((prediction) => ({
      name: names[index] ?? "like the example",
      color: colors[index % colors.length],
      score: prediction.confidence,
      mask: new Mask(prediction.masks),
    })),
  );
  target.found.concepts = keepNames(target.found.concepts, concepts);
}

export async function findObjects(api, target, signal) {
  const prompts = target.objects.map((object) => ({
    points: object.points.map(({ xy: [x, y], negative }) => ({ x, y, positive: !negative })),
    ...(object.box && { box: centered(object.box) }),
  }));
  const predictions = await api.segmentObjects(prompts, signal);
  target.found.objects = predictions.map((prediction, index) => ({
    name: target.objects[index].name ?? `object ${index + 1}`,
    color: colors[(index + 3) % colors.length],
    score: prediction.confidence,
    mask: new Mask(prediction.masks),
    isExplicit: true,
  }));
}

export async function findEverything(api, target, signal) {
  const predictions = await api.segmentEverything(EVERYTHING_POINTS_PER_SIDE, signal);
  const things = predictions.map((prediction, index) => ({
    name: "thing",
    color: colors[index % colors.length],
    score: prediction.confidence,
    mask: new Mask(prediction.masks),
  }));
  target.found.everything = keepNames(target.found.everything, things);
}

/** Finds what a description means; gives the sentences that say how it was found. */
export async function findDescribed(api, target, description, signal) {
  const answer = await api.segmentDescribed(description, signal);
  target.found.described = answer.predictions.map((prediction, index) => ({
    name: description,
    color: colors[index % colors.length],
    score: prediction.confidence,
    mask: new Mask(prediction.masks),
    isExplicit: true,
  }));
  target.steps = answer.status === "selected" ? [] : [...answer.limits_reached, ...answer.transcript.slice(-1)];
}

/** Gives what is found again the name that the user had given it. */
function keepNames(before, found) {
  const named = before.filter((instance) => instance.isNamed);
  return found.map((instance) => {
    const same = named.find(({ mask }) => mask.iou(instance.mask) > SAME_IOU);
    return same ? { ...instance, name: same.name, isNamed: true } : instance;
  });
}

/** Says of each concept without an instance above the threshold what came nearest. */
export function describeMisses({ best, texts }, threshold, vocabulary) {
  const isMissed = ({ score }) => score != null && score <= threshold;
  const sentences = best.filter(isMissed).map(({ name, score }) => {
    const what = name == null ? "what the examples show" : `'${name}'`;
    return `0 instances of ${what} above ${threshold.toFixed(2)}; the best score was ${score.toFixed(2)}.`;
  });
  const isUnknown = texts.join(" ").toLowerCase().split(/\s+/).some((word) => word && !vocabulary.includes(word));
  if (sentences.length && vocabulary.length && isUnknown) {
    sentences.push(`This model knows these words only: ${vocabulary.join(", ")}.`);
  }
  return sentences;
}

/** Names an instance anew, by replacing it: what undo kept stays as it was. */
export function rename(target, instance, name) {
  replace(target, instance, (one) => [{ ...one, name, isNamed: true }], (object) => [{ ...object, name }]);
}

/** Takes an instance off the list, an object with its clicks. */
export function remove(target, instance) {
  if (target.found.objects.at(-1) === instance) target.isOpen = false;
  replace(target, instance, () => [], () => []);
}

/** Replaces an instance, and the prompt of an object: each object found has one, in their order. */
function replace(target, instance, change, changePrompt) {
  const place = target.found.objects.indexOf(instance);
  target.objects = target.objects.flatMap((object, index) => (index === place ? changePrompt(object) : [object]));
  for (const [kind, instances] of Object.entries(target.found)) {
    target.found[kind] = instances.flatMap((one) => (one === instance ? change(one) : [one]));
  }
}

function centered([left, top, right, bottom]) {
  return { x: (left + right) / 2, y: (top + bottom) / 2, width: right - left, height: bottom - top };
}
