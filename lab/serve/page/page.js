"use strict";

const element = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const SHOWN = 10; // bars, of the likeliest classes

let model = null; // what /model says
let current = null; // the picture that the page shows the answer to
let turn = 0; // an answer that comes after a newer question is dropped

/** The JSON that `path` answers; an Error whose message is the service's reason. */
async function ask(path, form) {
  let response;
  try {
    response = await fetch(path, form && { method: "POST", body: form });
  } catch {
    throw new Error("The service does not answer; is it still running?");
  }
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(answer.reason);
  }
  return answer;
}

function form(field, picture) {
  const data = new FormData();
  data.append(field, picture, picture.name || "picture");
  return data;
}

/** Show the answer for a File or Blob, or a promise of one; `from` says where it came from. */
async function classify(given, from, pressed) {
  const mine = ++turn;
  current = null;
  element("error").textContent = "";
  element("status").textContent = "Looking…";
  for (const button of element("samples").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === pressed));
  }
  try {
    const picture = await given;
    if (picture.size > 0.99 * model.limits.bytes) {
      throw new Error(`${from} is larger than ${model.limits.bytes / 1e6} MB.`);
    }
    const { predictions } = await ask("/predict?seen=true", form("files", picture));
    if (mine === turn) {
      current = picture;
      show(predictions[0], from);
    }
  } catch (error) {
    if (mine === turn) {
      element("result").hidden = true;
      element("status").textContent = "";
      element("error").textContent = error.message;
    }
  }
}

function show(answer, from) {
  element("seen").src = answer.seen;
  element("seen").alt = `${from}, ${model.image_size} by ${model.image_size} pixels`;
  element("heat-figure").hidden = true;
  element("words").textContent = "";
  element("status").textContent = `${sentence(answer)} (${from})`;
  element("result").hidden = false;
  const likeliest = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]);
  const rest = likeliest.length - SHOWN;
  element("bars-title").textContent =
    rest > 0 ? `The ${SHOWN} largest of ${likeliest.length} probabilities` : "Probabilities";
  element("bars").replaceChildren(...likeliest.slice(0, SHOWN).map(bar));
}

function sentence({ label, confidence, sure }) {
  const guess = `${label}, ${percent(confidence)}`;
  if (sure) {
    return `${capital(guess)}.`;
  }
  const { threshold } = model;
  const why = threshold === null
    ? "No threshold was chosen for this model, so it is never sure."
    : `It is sure from ${percent(threshold)} on.`;
  return `Not sure: perhaps ${guess}. ${why}`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** A row of the table: the class, its bar and its number. */
function bar([label, probability]) {
  const row = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = label;
  const cell = document.createElement("td");
  const line = document.createElement("div");
  const track = document.createElement("span");
  track.className = "track";
  const filled = document.createElement("span");
  filled.className = "bar";
  filled.style.width = percent(probability);
  const number = document.createElement("span");
  number.className = "number";
  number.textContent = percent(probability);
  track.append(filled);
  line.append(track, number);
  cell.append(line);
  row.append(name, cell);
  return row;
}

async function explain() {
  const mine = turn;
  element("words").textContent = "Looking back…";
  try {
    const { heat, words } = await ask("/explain", form("file", current));
    if (mine === turn) {
      element("heat").src = heat;
      element("heat").alt = words;
      element("heat-figure").hidden = false;
      element("words").textContent = words;
    }
  } catch (error) {
    if (mine === turn) {
      element("words").textContent = error.message;
    }
  }
}

/** The buttons with the test images; the class of each is said only once it is asked for. */
function offer(labels) {
  labels.forEach((label, number) => {
    const image = document.createElement("img");
    image.src = `/samples/${number}`;
    image.alt = `Test image ${number + 1}`;
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(image);
    button.addEventListener("click", () => {
      const picture = fetch(image.src).then((response) => response.blob());
      const from = label ? `test image ${number + 1}, labelled ${label}` : "a test image";
      classify(picture, from, button);
    });
    const item = document.createElement("li");
    item.append(button);
    element("samples").append(item);
  });
  element("tests").hidden = labels.length === 0;
}

function take(files) {
  if (files.length > 0) {
    classify(files[0], files[0].name || "a pasted picture");
  }
}

function listen() {
  const drop = element("drop");
  element("file").addEventListener("change", (event) => {
    take(event.target.files);
  });
  element("explain").addEventListener("click", explain);
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  // Wherever a picture is dropped: outside the field the browser would leave the page for it.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

async function start() {
  try {
    model = await ask("/model");
  } catch (error) {
    element("about").textContent = error.message;
    return;
  }
  document.title = `Try the model of ${model.run}`;
  element("about").textContent =
    `Run ${model.run} tells ${model.classes.length} classes apart: ${model.classes.join(", ")}.`;
  const { bytes, pixels } = model.limits;
  element("takes").textContent =
    `Up to ${bytes / 1e6} MB and ${pixels / 1e6} million pixels. It stays on this machine.`;
  element("explain").hidden = !model.explains;
  element("card").textContent = model.card;
  element("card-details").hidden = model.card === null;
  offer(model.samples);
  listen();
}

start();
