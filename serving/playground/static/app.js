// Ties the page together: prompts, runs, the list of what was found.
import { Api } from "./api.js";
import { readDataUri, receiveFiles, save, stem } from "./files.js";
import { makeItem } from "./list.js";
import { toCoco } from "./masks.js";
import { describeMisses, emptySession, findConcepts, findDescribed, findEverything, findObjects, remove, rename, setPalette } from "./session.js";
import { Stage } from "./stage.js";
import { VideoView } from "./video.js";

const HELP = {
  object: "Click it, or drag a box around it. Right click, or Alt and click: not this. Keys on the image: arrows, Enter, B for a corner of a box.",
  example: "Drag a box around an example. With Alt or the right button: not like this. Examples narrow the text, where there is one.",
};

const $ = (id) => document.getElementById(id);
const api = new Api();
const videoView = new VideoView($("video-view"), {
  onStatus: showStatus,
  onError: showError,
  onChange: showVideoState,
});
const stage = new Stage($("stage"), { onPrompt: addPrompt, onHover: hoverAt });

let image = null; // {name, width, height}
let session = emptySession(); // the prompts as they are now
let settled = session; // the last of them that was answered
let history = [];
let highlighted = null;
let running = null;
let languageModel = null; // {model, host} of the operator's; null where there is none
let vocabulary = []; // the only words that the model knows; empty if it knows any

/** Changes the prompts and asks again; undo brings back the last answer before. */
async function change(edit, find) {
  const next = structuredClone({ ...session, found: undefined });
  next.found = { ...settled.found };
  edit(next);
  session = next;
  try {
    await runJob(() => find(api, next, running.signal));
    history.push(settled);
    settled = next;
  } catch (error) {
    if (session === next) session = settled; // unless a newer change replaced it
    if (error.name !== "AbortError") showError(error.message);
  }
  render();
}

/** Changes what was found, without asking; undo brings it back. */
function edit(apply, status) {
  running?.abort();
  history.push(settled);
  session = settled = { ...settled, found: { ...settled.found } };
  apply(settled);
  showStatus(status);
  render();
}

async function runJob(job) {
  running?.abort();
  const own = (running = new AbortController());
  showError("");
  stage.busy.hidden = false;
  const started = performance.now();
  try {
    await job();
    own.signal.throwIfAborted();
    showStatus(`Answered in ${Math.round(performance.now() - started)} ms.`);
  } finally {
    if (running === own) stage.busy.hidden = true;
  }
}

/** Finds what a list of names says, in the image or through the video. */
function findText(list) {
  const texts = [...new Set(list.split(",").map((text) => text.trim()).filter(Boolean))];
  if (!texts.length) return showError("Write what to look for, for instance: red circle, star");
  if (!videoView.file) return change((target) => (target.texts = texts), findConcepts);
  showError("");
  return videoView.follow(list, $("key").value.trim());
}

function addPrompt(prompt, isAlternate) {
  if (!image) return;
  const negative = isAlternate || $("negative").getAttribute("aria-pressed") === "true";
  if (tool() === "example") {
    if (!prompt.box) return showStatus("Drag a box around an example.");
    if (negative && !session.texts.length && !session.examples.some((example) => !example.negative)) {
      return showError("Add a text or a positive example first: nothing says yet what to look for.");
    }
    return change((target) => target.examples.push({ xyxy: prompt.box, negative }), findConcepts);
  }
  if (negative && !session.isOpen) {
    return showError("Click on an object first, then on what does not belong to it.");
  }
  return change((target) => {
    if (prompt.box) target.objects.push({ points: [], box: prompt.box });
    else {
      if (!target.isOpen) target.objects.push({ points: [], box: null });
      target.objects.at(-1).points.push({ xy: prompt.point, negative });
    }
    target.isOpen = true;
  }, findObjects);
}

function tool() {
  return document.querySelector("input[name=tool]:checked").value;
}

function visibleInstances() {
  const threshold = Number($("threshold").value);
  const { concepts, described, objects, everything } = settled.found;
  const isShown = (instance) => instance.mask.area && (instance.isExplicit || instance.score > threshold);
  return [...everything, ...concepts, ...described, ...objects].filter(isShown);
}

function render() {
  const instances = visibleInstances();
  if (!instances.includes(highlighted)) highlighted = null;
  const objectPoints = session.objects.flatMap((object) => object.points);
  const objectBoxes = session.objects.filter((object) => object.box).map((object) => ({ xyxy: object.box }));
  stage.draw(instances, highlighted, { points: objectPoints, boxes: [...objectBoxes, ...session.examples] });
  $("count").textContent = instances.length;
  $("threshold-value").textContent = Number($("threshold").value).toFixed(2);
  $("undo").disabled = !history.length;
  $("clear").disabled = !history.length;
  $("next").disabled = !session.isOpen;
  for (const id of ["save-png", "save-json", "save-cut-outs"]) $(id).disabled = !instances.length;
  const misses = describeMisses(settled, Number($("threshold").value), vocabulary);
  $("misses").textContent = [...misses, ...settled.steps].join(" ");
  $("instances").replaceChildren(...instances.map(listItem));
}

function listItem(instance) {
  const item = makeItem(instance, {
    onRename: (text) => edit((target) => rename(target, instance, text), "Renamed."),
    onZoom: () => stage.zoomTo(stage.zoom === 1 ? instance.mask.xywh : null),
    onCut: () => saveCutOut(instance, ""),
    onDelete: () => edit((target) => remove(target, instance), "Deleted."),
    onHighlight: (isOn) => highlight(isOn ? instance : null),
  });
  item.classList.toggle("on", instance === highlighted);
  return item;
}

async function saveCutOut(instance, number) {
  save(await stage.toCutOut(instance), `${stem(image.name)}-cut-out${number}.png`);
}

function highlight(instance) {
  if (instance === highlighted) return;
  highlighted = instance;
  const instances = visibleInstances();
  [...$("instances").children].forEach((item, index) => item.classList.toggle("on", instances[index] === instance));
  stage.draw(instances, highlighted, stage.scene);
}

function hoverAt(xy) {
  const under = xy ? visibleInstances().filter((instance) => instance.mask.contains(...xy)) : [];
  highlight(under.reduce((best, next) => (!best || next.mask.area < best.mask.area ? next : best), null));
}

function openFile(file, name) {
  if (!file.type.startsWith("video/")) return openImage(file, name);
  running?.abort();
  image = null;
  session = settled = emptySession();
  history = [];
  $("drop").hidden = $("stage").hidden = $("help").hidden = true;
  showError("");
  videoView.open(file);
  showVideoState();
}

/** What a video offers: a text, and once there are tracks, to save them. */
function showVideoState() {
  $("text").disabled = $("find").disabled = false;
  $("tools").hidden = $("results").hidden = $("describe-form").hidden = true;
  $("cancel").disabled = !videoView.isTracking;
  $("save-tracks").disabled = videoView.isTracking || !videoView.rows.length;
}

async function openImage(blob, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    return showError(`${name}: this browser cannot read it as an image.`);
  }
  videoView.close();
  $("tools").hidden = $("results").hidden = false;
  $("describe-form").hidden = !languageModel;
  image = { name, width: bitmap.width, height: bitmap.height };
  session = settled = emptySession();
  history = [];
  stage.show(bitmap);
  $("drop").hidden = true;
  $("stage").hidden = $("help").hidden = false;
  for (const id of ["text", "find", "description", "describe", "tools", "results"]) $(id).disabled = false;
  render();
  showStatus("Sending the image…");
  try {
    const dataUri = await readDataUri(blob);
    await runJob(() => api.embed(dataUri, running.signal));
    showStatus(`${name}, ${image.width} × ${image.height}: ready.`);
  } catch (error) {
    if (error.name !== "AbortError") showError(error.message);
  }
}

async function openScene() {
  const response = await fetch("/playground/scene.jpg");
  await openImage(await response.blob(), "scene.jpg");
  $("text").value = "circle, star";
}

function showStatus(text) {
  $("status").textContent = text;
}

function showError(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
  if (text) showStatus("");
}

function undo() {
  if (!history.length) return;
  running?.abort();
  session = settled = history.pop();
  showError("");
  showStatus("Undone.");
  render();
}

function clear() {
  running?.abort();
  history.push(settled);
  session = settled = emptySession();
  showStatus("Cleared.");
  render();
}

function listenToFiles() {
  receiveFiles($("file"), $("work"), openFile);
  $("pick").onclick = $("other").onclick = () => $("file").click();
  $("scene").onclick = openScene;
}

function listenToPrompts() {
  $("text-form").onsubmit = (event) => {
    event.preventDefault();
    findText($("text").value);
  };
  $("describe-form").onsubmit = (event) => {
    event.preventDefault();
    const description = $("description").value.trim();
    if (!description) return showError("Write what to find, for instance: the leftmost red circle");
    return change(() => {}, (api, target, signal) => findDescribed(api, target, description, signal));
  };
  $("key-form").onsubmit = (event) => event.preventDefault();
  $("key").oninput = () => (api.key = $("key").value.trim());
  $("everything").onclick = () => change(() => {}, findEverything);
  $("negative").onclick = () => {
    const isOn = $("negative").getAttribute("aria-pressed") === "true";
    $("negative").setAttribute("aria-pressed", String(!isOn));
  };
  $("next").onclick = () => {
    session.isOpen = false;
    $("negative").setAttribute("aria-pressed", "false");
    showStatus("Click on the next object.");
    render();
  };
  for (const radio of document.querySelectorAll("input[name=tool]")) {
    radio.onchange = () => ($("help").textContent = HELP[tool()]);
  }
  $("help").textContent = HELP.object;
}

function listenToResults() {
  $("threshold").oninput = render;
  $("undo").onclick = undo;
  $("clear").onclick = clear;
  $("save-png").onclick = async () => save(await stage.toPng(), `${stem(image.name)}-masks.png`);
  $("save-cut-outs").onclick = async () => {
    for (const [index, instance] of visibleInstances().entries()) await saveCutOut(instance, `-${index + 1}`);
  };
  $("save-json").onclick = () => {
    const coco = toCoco(visibleInstances(), image.name, image.width, image.height);
    save(new Blob([JSON.stringify(coco)], { type: "application/json" }), `${stem(image.name)}-coco.json`);
  };
  $("cancel").onclick = () => videoView.cancel();
  $("save-tracks").onclick = () => {
    const rows = new Blob([videoView.toJsonLines()], { type: "application/jsonl" });
    save(rows, `${stem(videoView.file.name)}_tracks.jsonl`);
  };
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input[type=text], input[type=password]");
    if (isTyping) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      undo();
    } else if (event.key.toLowerCase() === "n" && !event.ctrlKey && !event.metaKey) {
      if (!$("next").disabled) $("next").click();
    }
  });
}

async function introduce() {
  try {
    const info = await api.describeServer();
    setPalette(info.palette);
    videoView.palette = info.palette.slice(0, 12); // tracks repeat the bright ones
    vocabulary = info.vocabulary;
    $("model").textContent = `${info.model} on ${info.device}, ${info.precision}`;
    $("notice").hidden = info.model !== "tiny_shapes";
    $("key-form").hidden = !info.needs_api_key;
    languageModel = info.language_model;
    if (languageModel) {
      $("destination").textContent = `The picture is sent to ${languageModel.model} at ${languageModel.host}.`;
    }
    $("describe-form").hidden = !languageModel || Boolean(videoView.file);
  } catch (error) {
    $("model").textContent = "";
    showError(error.message);
  }
}

listenToFiles();
listenToPrompts();
listenToResults();
listenToKeys();
introduce();
