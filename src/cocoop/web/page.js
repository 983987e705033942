"use strict";

const SHOWN = 5; // classes of a picture
const AT_ONCE = 4; // requests; the server answers those that come together together
const PAUSE = 400; // milliseconds after the last key

const at = (id) => document.getElementById(id);
const state = { runs: [], limits: {}, pictures: [], asked: 0, controller: null, count: 0 };

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still there?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.error || `The server answered with ${answer.status}.`);
}

const run = () => state.runs.find((one) => one.name === at("run").value);
const names = () => at("classes").value.split("\n").map((line) => line.trim()).filter(Boolean);
const written = (classes) => classes.join("\n");
const edited = () => run().bound === null && at("classes").value !== written(run().classes);
const ways = () => run().ways.filter((way) => at(`way-${way}`).checked);
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

// Runs and classes

async function loadRuns(chosen) {
  const told = await (await ask("runs")).json();
  state.runs = told.runs;
  state.limits = told.limits;
  at("run").replaceChildren(...state.runs.map((one) => element("option", { value: one.name, textContent: one.name })));
  if (chosen) at("run").value = chosen;
  showRun();
}

function showRun() {
  const { name, method, classes, refused, bound, learned } = run();
  const without = Object.entries(refused).map(([way, why]) => `No ${way}: ${why}`);
  at("about").replaceChildren(`Method ${method}, ${classes.length} classes.`);
  if (without.length) {
    const list = element("ul", {}, ...without.map((text) => element("li", { textContent: text })));
    at("about").append(element("details", {}, element("summary", { textContent: "What is not shown, and why" }), list));
  }
  at("zip").hidden = !learned;
  at("zip-link").href = `run.zip?run=${encodeURIComponent(name)}`;
  at("classes").readOnly = bound !== null;
  at("reset").hidden = bound !== null;
  at("classes-about").textContent = bound ? `This run takes no other classes: ${bound}.` : "Edit them; the bars follow.";
  at("learning").hidden = !state.runs.some((one) => one.learns);
  at("ways").replaceChildren(at("ways").firstElementChild, ...run().ways.map(wayBox));
  resetClasses();
  showLearn();
}

function wayBox(way) {
  const box = element("input", { type: "checkbox", id: `way-${way}`, checked: true });
  box.addEventListener("change", () => {
    if (!ways().length) box.checked = true; // one at least
    else predictAll();
  });
  return element("label", {}, box, way);
}

function resetClasses() {
  at("classes").value = written(run().classes);
  predictAll();
}

function faultOf(given) {
  if (given.length < 2) return "Give two classes or more.";
  if (given.length > state.limits.classes) return `Give at most ${state.limits.classes} classes.`;
  const twice = given.find((name, place) => given.indexOf(name) !== place);
  return twice === undefined ? "" : `“${twice}” is there twice.`;
}

function classesAreGood() {
  const fault = edited() ? faultOf(names()) : ""; // the run's own may be more than others may be
  if (at("classes-fault").textContent !== fault) at("classes-fault").textContent = fault;
  at("classes").setAttribute("aria-invalid", String(fault !== ""));
  return !fault;
}

// Pictures

function addPictures(files) {
  if (!state.runs.length) return; // the server has not answered yet
  const fresh = [...files].map((file) => ({ file, url: URL.createObjectURL(file), label: "", item: element("li") }));
  for (const picture of fresh) {
    picture.number = ++state.count;
    at("results").append(picture.item);
    showPicture(picture);
  }
  state.pictures.push(...fresh);
  at("tools").hidden = !state.pictures.length;
  if (classesAreGood()) predict(fresh, state.asked);
}

function remove(picture) {
  URL.revokeObjectURL(picture.url);
  picture.item.remove();
  state.pictures = state.pictures.filter((other) => other !== picture);
  at("tools").hidden = !state.pictures.length;
  at("status").textContent = `${picture.file.name} is removed.`;
  at("files").focus();
  showLearn();
}

function predictAll() {
  state.asked += 1;
  state.controller?.abort();
  state.controller = new AbortController();
  at("csv").replaceChildren(...ways().map((way) => csvButton(way)));
  if (classesAreGood()) predict(state.pictures, state.asked);
}

async function predict(pictures, asked) {
  if (!pictures.length) return;
  const waiting = [...pictures];
  let done = 0;
  const work = async () => {
    for (let picture = waiting.shift(); picture; picture = waiting.shift()) {
      await predictOne(picture);
      if (asked !== state.asked) return;
      showPicture(picture);
      done += 1;
      if (done < pictures.length) at("status").textContent = `${done} of ${pictures.length} pictures are classified.`;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (asked !== state.asked) return;
  at("status").textContent = summary(pictures);
  showNotes();
  showLearn();
}

function summary(pictures) {
  const read = pictures.filter((picture) => picture.results);
  const [way] = ways();
  if (pictures.length === 1 && read.length) {
    const [best] = read[0].results[way].top;
    return `${read[0].file.name}: ${best.class}, ${percent(best.probability)}.`;
  }
  const failed = pictures.length - read.length;
  return `${read.length} of ${pictures.length} pictures are classified${failed ? `; ${failed} are not, and say why` : ""}.`;
}

async function predictOne(picture) {
  const form = new FormData();
  const given = names();
  form.append("image", picture.file, picture.file.name);
  form.append("run", run().name);
  form.append("ways", ways().join(","));
  form.append("top", String(Math.max(given.length, 1)));
  if (edited()) form.append("classes", JSON.stringify(given));
  picture.results = picture.error = null;
  try {
    if (picture.file.size > state.limits.upload) throw new Error(`The file has more than ${state.limits.upload} bytes.`);
    const told = await (await ask("predict", { method: "POST", body: form, signal: state.controller.signal })).json();
    const rows = Object.entries(told.results).map(([way, [row]]) => [way, row]);
    picture.error = rows[0][1].error;
    if (picture.error === null) picture.results = Object.fromEntries(rows);
    picture.inference = told.inference;
  } catch (error) {
    if (error.name !== "AbortError") picture.error = error.message;
  }
}

// What is shown of a picture

function showPicture(picture) {
  const { file, url, item, results, error } = picture;
  const parts = [element("h3", { textContent: file.name })];
  if (results) parts.push(table(picture));
  else if (error) parts.push(element("p", { className: "fault", textContent: error }));
  else parts.push(element("p", { className: "quiet", textContent: "Waiting for an answer" }));
  parts.push(below(picture));
  const focused = item.contains(document.activeElement) ? document.activeElement.dataset.part : null;
  item.replaceChildren(element("div", {}, element("img", { src: url, alt: "" })), element("div", {}, ...parts));
  if (focused) item.querySelector(`[data-part=${focused}]`)?.focus();
}

function shownClasses(results) {
  const [first, ...others] = Object.values(results);
  const shown = first.top.slice(0, SHOWN).map((one) => one.class);
  return [...new Set([...shown, ...others.map((row) => row.top[0].class)])];
}

function table({ file, results }) {
  const ways = Object.keys(results);
  const of = Object.fromEntries(ways.map((way) => [way, new Map(results[way].top.map((one) => [one.class, one.probability]))]));
  const head = ["Class", ...ways].map((text) => element("th", { scope: "col", textContent: text }));
  const rows = shownClasses(results).map((name) => {
    const cells = ways.map((way) => cell(of[way].get(name) ?? 0, results[way].class === name));
    return element("tr", {}, element("th", { scope: "row", textContent: name }), ...cells);
  });
  const caption = element("caption", { className: "seen-by-readers", textContent: `Probabilities of the classes for ${file.name}` });
  return element("table", {}, caption, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

function cell(probability, best) {
  const bar = element("span", { className: "bar" });
  bar.style.width = `${100 * probability}%`;
  const track = element("span", { className: "track" }, bar);
  track.setAttribute("aria-hidden", "true");
  return element("td", { className: best ? "best" : "" }, percent(probability), track);
}

function below(picture) {
  const id = `label-${picture.number}`;
  const choices = ["", ...names()].map((name) => element("option", { value: name, textContent: name || "not labelled" }));
  const select = element("select", { id }, ...choices);
  select.value = labelOf(picture);
  select.dataset.part = "label";
  select.addEventListener("change", () => { picture.label = select.value; showLearn(); });
  const label = element("label", { htmlFor: id, textContent: "It shows" });
  const away = element("button", { type: "button", textContent: "Remove" });
  away.setAttribute("aria-label", `Remove ${picture.file.name}`);
  away.addEventListener("click", () => remove(picture));
  return element("div", { className: "under" }, element("div", {}, label, select), away);
}

function showNotes() {
  const told = state.pictures.find((picture) => picture.results)?.inference ?? {};
  const notes = Object.entries(told).filter(([way, text]) => text && way !== "exact");
  at("notes").replaceChildren(...notes.map(([way, text]) => element("li", { textContent: `${way}: ${text}` })));
}

// CSV

function csvButton(way) {
  const button = element("button", { type: "button", textContent: `CSV, ${way}` });
  button.addEventListener("click", () => takeCsv(way));
  return button;
}

async function takeCsv(way) {
  const rows = state.pictures.map(({ file, results, error }) => results
    ? { ...results[way], image: file.name, top: results[way].top.slice(0, SHOWN) }
    : { image: file.name, error: error || "not classified yet" });
  try {
    const headers = { "Content-Type": "application/json" };
    const answer = await ask("csv", { method: "POST", headers, body: JSON.stringify({ rows }) });
    const link = element("a", { href: URL.createObjectURL(await answer.blob()), download: `predictions-${way}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    at("status").textContent = error.message;
  }
}

// Learning

// A label outlives its name in the list: who edits the name and takes that back has it again.
const labelOf = (picture) => names().includes(picture.label) ? picture.label : "";
const labelled = () => state.pictures.filter(labelOf);

function showLearn() {
  const count = labelled().length;
  const kinds = new Set(labelled().map((picture) => picture.label)).size;
  at("learn").textContent = `Learn from ${count} labelled picture${count === 1 ? "" : "s"}`;
  at("learn").disabled = kinds < 2 || !at("stop").hidden || !run().learns;
}

async function learn() {
  const form = new FormData();
  for (const picture of labelled()) {
    form.append("image", picture.file, picture.file.name);
    form.append("label", picture.label);
  }
  form.append("run", run().name);
  if (edited()) form.append("classes", JSON.stringify(names()));
  try {
    await ask("learn", { method: "POST", body: form });
    await follow();
  } catch (error) {
    at("learn-status").textContent = error.message;
  }
}

function showProgress(shown) {
  for (const id of ["stop", "progress", "progress-label"]) at(id).hidden = !shown;
  showLearn();
}

async function follow() {
  showProgress(true);
  at("progress").removeAttribute("value");
  at("learn-status").textContent = "Learning has begun.";
  try {
    for (;;) {
      const told = await (await ask("learn")).json();
      if (told.epochs) at("progress").value = told.epoch / told.epochs;
      if (told.state === "failed") throw new Error(told.error);
      if (told.state === "done") return await finish(told);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  } finally {
    showProgress(false);
  }
}

async function finish(told) {
  const kept = at("classes").value;
  await loadRuns(told.learned);
  at("classes").value = kept;
  predictAll();
  at("learn-status").textContent = `Learned from ${told.pictures} pictures in ${Math.ceil(told.seconds)} seconds: ${told.learned}.`;
}

// What a person does

let pause;
at("classes").addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(predictAll, PAUSE); });
at("run").addEventListener("change", showRun);
at("reset").addEventListener("click", resetClasses);
at("files").addEventListener("change", () => { addPictures(at("files").files); at("files").value = ""; });
at("clear").addEventListener("click", () => { for (const picture of state.pictures) remove(picture); at("status").textContent = "All pictures are removed."; });
at("learn").addEventListener("click", learn);
at("stop").addEventListener("click", () => ask("learn", { method: "DELETE" }).catch((error) => { at("learn-status").textContent = error.message; }));

const drop = at("drop");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return; // words may be dragged into the list of classes
    event.preventDefault(); // beside the zone, too: the browser would leave the page for the picture
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") addPictures(event.dataTransfer.files);
  });
}

loadRuns().catch((error) => { at("status").textContent = error.message; });
