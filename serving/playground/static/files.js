// Files: those the user picks, drops or pastes, and those that are saved.

/** Calls onFile(file, name) for each file that comes by the input, dropped anywhere, or pasted. */
export function receiveFiles(input, target, onFile) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) onFile(file, file.name);
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((item) => /^(image|video)\//.test(item.type));
    if (file) onFile(file, file.name || "pasted.png");
  });
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      target.classList.toggle("over", name === "dragover");
      const [file] = event.dataTransfer.files;
      if (name === "drop" && file) onFile(file, file.name);
    });
  }
  document.addEventListener("dragleave", () => target.classList.remove("over"));
}

export function readDataUri(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}

/** Saves data as a file, as a link to it would. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A file's name without its suffix. */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "image";
}
