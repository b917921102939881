// An entry of the list of what was found: its name to change, its score, and what can be done with it.

/** Makes the entry; actions: {onRename(text), onZoom(), onCut(), onDelete(), onHighlight(isOn)}. */
export function makeItem(instance, actions) {
  const item = document.createElement("li");
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.backgroundColor = `rgb(${instance.color})`;
  const name = document.createElement("input");
  Object.assign(name, { type: "text", className: "name", value: instance.name, maxLength: 100 });
  name.setAttribute("aria-label", "Name of this instance");
  name.onchange = () => {
    const text = name.value.trim();
    if (text && text !== instance.name) actions.onRename(text);
    else name.value = instance.name;
  };
  const score = document.createElement("span");
  score.className = "score";
  score.textContent = instance.score.toFixed(2);
  const zooming = makeButton("⌕", `Zoom to ${instance.name}`, actions.onZoom);
  const cutting = makeButton("↓", `Save the cut-out of ${instance.name}`, actions.onCut);
  const deleting = makeButton("×", `Delete ${instance.name}`, actions.onDelete);
  item.append(swatch, name, score, zooming, cutting, deleting);
  for (const event of ["mouseenter", "focusin"]) item.addEventListener(event, () => actions.onHighlight(true));
  for (const event of ["mouseleave", "focusout"]) item.addEventListener(event, () => actions.onHighlight(false));
  return item;
}

function makeButton(text, label, onclick) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "small", textContent: text, title: label, onclick });
  button.setAttribute("aria-label", label);
  return button;
}
