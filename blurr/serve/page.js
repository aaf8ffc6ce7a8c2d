/* Send what is in the fields, and show the answer for a person to read. */
"use strict";
const known = JSON.parse(document.getElementById("known").textContent);
const at = id => document.getElementById(id);
const MOST = 10; // bars that are shown at once
const DARKEST = 6; // colours of entities
const AT_ONCE = 4; // files that are sent at a time
/* The namespace of drawings: as an address in the page it would look like something loaded from elsewhere. */
const SVG = Object.assign(document.createElement("template"), {innerHTML: "<svg></svg>"}).content.firstChild.namespaceURI;
const reads = known.fields.find(({kind}) => kind); // the field of a task that reads files

/* -- small parts */

const put = (parent, tag, text = "", kind = "") => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
};
const written = (parent, tag, text, kind) => {  // by a user or a model: the text says whether it reads from the right
  const made = put(parent, tag, text, kind);
  made.dir = "auto";
  return made;
};
const percent = share => share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
const number = value => Number(value.toPrecision(5)).toString();
const named = name => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
let stage = at("answer"); // where an answer is put: of several files, each has its own
const card = (title = "") => {
  const made = put(stage, "div", "", "card");
  if (title) put(made, "h2", title);
  return made;
};
/* Put a text with marks, whose ends are counted in characters as Python counts them, not in JavaScript's halves. */
const marked = (parent, text, marks) => {
  const shown = written(parent, "p", "", "text"), letters = Array.from(text);
  let done = 0;
  for (const {start, end, label, kind} of [...marks].sort((a, b) => a.start - b.start)) {
    if (start < done) continue;
    shown.append(letters.slice(done, start).join(""));
    const mark = written(shown, "mark", letters.slice(start, end).join(""), kind);
    if (label) put(mark, "bdi", label);
    done = end;
  }
  shown.append(letters.slice(done).join(""));
};
/* List shares as bars: `[name, share, is_chosen]` each, those beyond the first ten behind a switch. */
const bars = (parent, rows) => {
  const list = (where, part) => {
    const made = put(where, "ul", "", "bars");
    for (const [name, share, chosen] of part) {
      const row = put(made, "li", "", chosen ? "chosen" : "");
      const title = put(row, "span");
      written(title, "bdi", name || "(empty)");
      if (chosen) {
        put(title, "span", " ✓").setAttribute("aria-hidden", "true");
        put(title, "span", " chosen", "unseen");
      }
      put(row, "span", percent(share), "percent");
      put(put(row, "div", "", "track"), "div", "", "fill").style.width = `${100 * share}%`;
    }
  };
  list(parent, rows.slice(0, MOST));
  if (rows.length <= MOST) return;
  const rest = put(parent, "details");
  put(rest, "summary", `${rows.length - MOST} more`);
  list(rest, rows.slice(MOST));
};

/* -- an answer by what it holds; each returns whether it knows such answers */

const classes = answer => {
  if (!answer.probs) return false;
  const chosen = new Set(answer.class_indices ?? [answer.class_index]), shown = card();
  const names = [...chosen].map(index => String(answer.class_labels[index]));
  written(shown, "p", names.join(", ") || "No label is likely enough.", "said");
  const rows = answer.probs.map((share, index) => [String(answer.class_labels[index]), share, chosen.has(index)]);
  bars(shown, rows.sort((a, b) => b[1] - a[1]));
  return true;
};
/* The mask lies over the picture that was sent. */
const segments = answer => {
  if (!answer.mask) return false;
  const over = put(stage.parentElement.querySelector("figure"), "img", "", "over");
  over.src = `data:image/png;base64,${answer.mask}`;
  over.alt = `Mask: ${Object.keys(answer.labels).join(", ")}`;
  bars(card("Share of the pixels"), Object.entries(answer.labels).map(([name, share]) => [name, share, false]));
  return true;
};
/* Boxes are drawn over the picture that was sent, in its own pixels. */
const objects = answer => {
  if (!Array.isArray(answer.boxes)) return false;
  const figure = stage.parentElement.querySelector("figure"), picture = figure.querySelector("img");
  const names = [...new Set(answer.boxes.map(({label}) => label))];
  const drawn = () => {
    const over = document.createElementNS(SVG, "svg");
    over.setAttribute("class", "over");
    over.setAttribute("viewBox", `0 0 ${picture.naturalWidth} ${picture.naturalHeight}`);
    over.setAttribute("role", "img");
    over.setAttribute("aria-label", `Boxes: ${names.join(", ") || "none"}`);
    for (const {label, score, box: [left, top, right, bottom]} of [...answer.boxes].reverse()) {
      const rect = document.createElementNS(SVG, "rect"), title = document.createElementNS(SVG, "title");
      for (const [name, value] of Object.entries({x: left, y: top, width: right - left, height: bottom - top})) {
        rect.setAttribute(name, value);
      }
      rect.setAttribute("class", `t${names.indexOf(label) % DARKEST}`);
      title.textContent = `${label} ${percent(score)}`;
      rect.append(title);
      over.append(rect);
    }
    over.style.aspectRatio = `${picture.naturalWidth} / ${picture.naturalHeight}`;
    over.style.width = `${picture.clientWidth}px`;
    figure.append(over);
  };
  if (picture) picture.complete && picture.naturalWidth ? drawn() : picture.addEventListener("load", drawn);
  const shown = card();
  put(shown, "p", answer.boxes.length ? `${answer.boxes.length} ${answer.boxes.length > 1 ? "objects" : "object"}`
    : "There is no object that is certain enough.", "said");
  if (!answer.boxes.length) return true;
  const table = put(shown, "table"), head = put(table, "tr");
  for (const title of ["Object", "Score", "Left, top, right, bottom"]) put(head, "th", title).scope = "col";
  for (const {label, score, box} of answer.boxes) {
    const row = put(table, "tr"), cell = put(row, "td");
    put(cell, "span", "", `swatch t${names.indexOf(label) % DARKEST}`).setAttribute("aria-hidden", "true");
    written(cell, "bdi", label);
    put(row, "td", percent(score), "percent"); put(row, "td", box.map(Math.round).join(", "));
  }
  return true;
};
const value = answer => {
  if (typeof answer.value !== "number") return false;
  put(card(), "p", number(answer.value), "said");
  return true;
};
const entities = (answer, item) => {
  if (!Array.isArray(answer)) return false;
  const kind = each => each.entity_group ?? each.entity, kinds = [...new Set(answer.map(kind))];
  const shown = card();
  put(shown, "p", answer.length ? `${answer.length} ${answer.length > 1 ? "entities" : "entity"}` : "There is no entity.", "said");
  marked(shown, item[known.fields[0].role], answer.map(each => (
    {...each, label: kind(each), kind: `t${kinds.indexOf(kind(each)) % DARKEST}`}
  )));
  if (!answer.length) return true;
  const table = put(card("Entities"), "table"), head = put(table, "tr");
  for (const title of ["Text", "Kind", "Probability"]) put(head, "th", title).scope = "col";
  for (const each of answer) {
    const row = put(table, "tr");
    written(row, "td", each.word); put(row, "td", kind(each)); put(row, "td", percent(each.score), "percent");
  }
  return true;
};
const found = (answer, item) => {
  if (answer.answer === undefined || !item.context) return false;
  const none = "There is no answer in the context.", shown = card();
  written(shown, "p", answer.answer ?? none, "said");
  marked(shown, item.context, answer.answer === null ? [] : [answer]);
  const rows = (answer.answers ?? [answer]).map((each, index) => [each.answer ?? "no answer", each.score, index === 0]);
  bars(card("Answers"), rows);
  return true;
};
const filled = (answer, item) => {
  if (!answer.filled_texts) return false;
  const text = answer.filled_texts[0], parts = item[known.fields[0].role].split(known.mask), marks = [];
  let end = 0;
  for (const [index, mask] of answer.masks.entries()) {
    const start = text.indexOf(mask.tokens[0], end + parts[index].trimEnd().length);
    end = start + mask.tokens[0].length;
    marks.push({start: Array.from(text.slice(0, start)).length, end: Array.from(text.slice(0, end)).length});
  }
  marked(card("Filled in"), text, marks);
  for (const [index, {tokens, scores}] of answer.masks.entries()) {
    bars(card(answer.masks.length > 1 ? `Candidates for mask ${index + 1}` : "Candidates"),
      tokens.map((token, place) => [token, scores[place], place === 0]));
  }
  return true;
};
/* A time plays the sound from there. */
const transcripts = answer => {
  if (answer.transcript === undefined) return false;
  written(card(), "p", answer.transcript || "Nothing is said.", "text");
  if (answer.segments.length < 2) return true;
  const table = put(card("By time"), "table"), player = stage.parentElement.querySelector("audio");
  for (const {start, text} of answer.segments) {
    const row = put(table, "tr"), seconds = String(Math.floor(start % 60)).padStart(2, "0");
    const button = put(put(row, "td"), "button", `${Math.floor(start / 60)}:${seconds}`);
    button.setAttribute("aria-label", `Play from ${button.textContent}`);
    button.onclick = () => { player.currentTime = start; player.play(); };
    written(row, "td", text);
  }
  return true;
};
const texts = (answer, item) => {
  const key = ["summary_texts", "translation_texts", "generated_texts"].find(name => name in answer);
  if (!key) return false;
  const all = [answer[key]].flat(), source = item[known.fields[0].role], title = named(key.split("_")[0]);
  if (known.continues) {
    for (const text of all) {
      const shown = written(card("Continued"), "p", source + (/\s$/.test(source) ? "" : " "), "text");
      written(shown, "mark", text || "(nothing)");
    }
    return true;
  }
  const pair = put(stage, "div", "", "pair");
  for (const [name, text] of [[named(known.fields[0].role), source], ...all.map(text => [title, text || "(empty)"])]) {
    const shown = put(pair, "div", "", "card");
    put(shown, "h2", name);
    written(shown, "p", text, "text");
  }
  return true;
};
const unknown = () => {
  put(card(), "p", "This task's answers are shown as JSON.");
  at("raw").checked = true;
  return true;
};
const KINDS = [entities, segments, objects, classes, value, found, filled, transcripts, texts, unknown];

/* -- files */

let files = [];
const addresses = new Map(); // what the browser lends to show a file by
const preview = (parent, file) => {
  const shown = put(parent, "figure"), isPicture = reads.kind === "picture";
  const made = put(shown, isPicture ? "img" : "audio");
  if (!addresses.has(file)) addresses.set(file, URL.createObjectURL(file));
  made.src = addresses.get(file);
  if (isPicture) {
    made.alt = file.name;
    made.onerror = () => made.remove(); // TIFF, or no picture at all: its name stays
  } else { made.controls = true; made.setAttribute("aria-label", file.name); }
  written(shown, "figcaption", file.name);
};
const choose = list => {
  if (!list.length) return;
  for (const address of addresses.values()) URL.revokeObjectURL(address);
  addresses.clear();
  files = [...list];
  const names = files.length > 1 ? `${files.length} files` : files[0].name;
  at("chosen").textContent = `Chosen: ${names}.`;
  if (known.fields.every(({role, kind, required}) => kind || !required || at(role).value.trim())) ask();
};
const fileOf = (text, name) => new File([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))], name);

/* -- sounds: what browsers record and phones send, no server reads */

const RATE = 48000, LONGEST = 300; // Hz; seconds of a recording
const FOREIGN = /\.(3gp|aac|amr|avi|m4a|m4b|mka|mkv|mov|mp4|webm|wma)$/i;
/* Return what the browser can play as a wav file with one channel of 16 bits. */
const asWav = async (blob, name) => {
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
  const channels = Array.from({length: sound.numberOfChannels}, (_, index) => sound.getChannelData(index));
  const bytes = 2 * sound.length, made = new DataView(new ArrayBuffer(44 + bytes));
  for (const [start, text] of [[0, "RIFF"], [8, "WAVEfmt "], [36, "data"]]) {
    Array.from(text, (letter, index) => made.setUint8(start + index, letter.charCodeAt(0)));
  }
  for (const [start, value] of [[4, 36 + bytes], [16, 16], [24, RATE], [28, 2 * RATE], [40, bytes]]) made.setUint32(start, value, true);
  for (const [start, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) made.setUint16(start, value, true);
  for (let at = 0; at < sound.length; at += 1) {
    const mean = channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length;
    made.setInt16(44 + 2 * at, Math.round(32767 * Math.max(-1, Math.min(1, mean))), true);
  }
  return new File([made], name, {type: "audio/wav"});
};
/* Return the file as it is, or what the browser makes of a kind that the server refuses; of none, it says why. */
const sendable = file => (
  reads.kind === "sound" && FOREIGN.test(file.name) ? asWav(file, file.name).catch(() => file) : file);
const addMicrophone = zone => {
  const button = put(zone, "button", "Record"), said = put(zone, "p", "", "dim");
  button.type = "button";
  said.setAttribute("role", "status");
  let recorder = null, count = 0;
  const record = stream => {
    const parts = [], clock = setInterval(() => tell(), 500), start = Date.now();
    const tell = () => {
      const seconds = Math.floor((Date.now() - start) / 1000);
      button.textContent = `Stop and predict (${seconds} s)`;
      if (seconds >= LONGEST) recorder?.stop();
    };
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = event => parts.push(event.data);
    recorder.onstop = async () => {
      clearInterval(clock);
      recorder = null;
      button.textContent = "Record";
      said.textContent = "";
      for (const track of stream.getTracks()) track.stop();
      try { choose([await asWav(new Blob(parts), `Recording ${count += 1}.wav`)]); }
      catch { said.textContent = "Nothing was recorded."; }
    };
    recorder.start();
    said.textContent = "Recording.";
    tell();
  };
  button.onclick = async () => {
    if (recorder) return recorder.stop();
    if (!navigator.mediaDevices) {
      said.textContent = "A browser lends a microphone only to pages that come by https or from this machine.";
      return;
    }
    button.disabled = true; // while the browser asks
    try { record(await navigator.mediaDevices.getUserMedia({audio: true})); }
    catch (error) {
      said.textContent = error.name === "NotAllowedError"
        ? "The browser does not lend this page the microphone: allow it beside the address." : "There is no microphone.";
    }
    button.disabled = false;
  };
};

/* -- asking */

const explain = (status, body) => {
  const detail = body?.detail;
  if (status === 401) return `${detail} Type it into the field “Token of this server”.`;
  if (typeof detail === "string") return detail.replace(/^inputs\[0\](?: \(.*?\))?: /, "");
  if (Array.isArray(detail)) return detail.map(each => {
    const where = each.loc.filter(part => !["body", "inputs", "options", 0, "Item", "str"].includes(part)).join(" ");
    return `${where ? `${named(where)}: ` : ""}${each.msg}.`;
  }).join(" ");
  return `The server answered with status ${status}, and did not say why.`;
};
const wrong = sentence => put(card(), "p", sentence, "wrong").setAttribute("role", "alert");
const fail = (sentence, field = null) => {
  stage = at("answer");
  stage.replaceChildren();
  at("json").textContent = "";
  reveal();
  wrong(sentence);
  field?.setAttribute("aria-invalid", "true");
  field?.focus();
};
const reveal = () => { at("json").hidden = !at("raw").checked || !at("json").textContent; };
const item = () => Object.fromEntries(
  known.fields.filter(({kind}) => !kind).map(({role}) => [role, at(role).value]).filter(([, text]) => text.trim()));
const options = () => Object.fromEntries(Object.entries(known.options).flatMap(([name, {type}]) => {
  const text = at(`option-${name}`).value.trim();
  if (!text) return [];
  const isNumber = ["int", "float"].includes(type) && !Number.isNaN(Number(text));
  return [[name, type === "bool" ? text === "true" : isNumber ? Number(text) : text]];  // the server says what is wrong
}));
const form = (given, file) => {
  const made = new FormData();
  for (const [name, value] of Object.entries({...given, ...options()})) made.append(name, value);
  made.append(reads.role, file, file.name);
  return made;
};
/* Ask the server; returns what it answered, or a sentence that says why it did not. */
const request = async body => {
  const headers = typeof body === "string" ? {"Content-Type": "application/json"} : {};
  if (known.token) headers.Authorization = `Bearer ${at("token").value}`;
  let answer, read = null;
  try {
    answer = await fetch("predict", {method: "POST", headers, body});
    read = await answer.json().catch(() => null);
  } catch {
    return {why: "The server does not answer. See whether `blurr serve` is still running."};
  }
  return answer.ok && read ? {read} : {why: explain(answer.status, read), status: answer.status};
};
let asked = 0;  // of several requests the last one counts

const ask = async () => {
  const mine = ++asked, given = item();
  document.querySelectorAll("[aria-invalid]").forEach(field => field.removeAttribute("aria-invalid"));
  const empty = known.fields.find(({role, kind, required}) => required && !(kind ? files.length : role in given));
  if (empty?.kind) return fail(`Choose a ${empty.kind} first.`, at(empty.role));
  if (empty) return fail(`Write something into the field “${empty.label}” first.`, at(empty.role));
  if (known.token && !at("token").value) return fail("This server needs a token. Type it in below.", at("token"));
  at("answer").setAttribute("aria-busy", "true");
  await (reads ? askOfFiles(given, () => mine === asked) : askOnce(given, () => mine === asked));
  if (mine === asked) at("answer").setAttribute("aria-busy", "false");
};
const askOnce = async (given, counts) => {
  const {read, why, status} = await request(JSON.stringify(
    {inputs: [given], ...Object.keys(options()).length && {options: options()}}));
  if (!counts()) return;
  if (why) return fail(why, status === 401 ? at("token") : null);
  stage = at("answer");
  stage.replaceChildren();
  KINDS.some(show => show(read.predictions[0], given));
  at("json").textContent = JSON.stringify(read, null, 2);
  reveal();
};
/* Ask for each file by itself, so that one that is broken has no others fail. */
const askOfFiles = async (given, counts) => {
  at("answer").replaceChildren();
  const sent = files.map(file => {
    const row = put(at("answer"), "div", "", "shot");
    preview(row, file);
    return {file, place: put(row, "div")};
  });
  const waiting = [...sent];
  const next = async () => {
    for (let each = waiting.shift(); each && counts(); each = waiting.shift()) {
      const {read, why, status} = await request(form(given, await sendable(each.file)));
      if (!counts()) return;
      stage = each.place;
      each.read = read;
      if (why) wrong(why); else KINDS.some(show => show(read.predictions[0], given));
      if (status === 401) at("token").focus();
    }
  };
  await Promise.all(Array.from({length: AT_ONCE}, next));
  if (!counts()) return;
  const read = sent.flatMap(each => each.read ?? []);
  const all = {predictions: read.flatMap(each => each.predictions), files: read.flatMap(each => each.files)};
  at("json").textContent = read.length ? JSON.stringify(all, null, 2) : "";
  reveal();
};

/* -- the form */

const add = (where, id, label, tag = "textarea") => {
  put(where, "label", label).htmlFor = id;
  const made = put(where, tag);
  made.id = id;
  return made;
};
const addFile = ({role, label, kind, accept}) => {
  const zone = put(at("fields"), "div", "", "drop");
  const field = add(zone, role, label, "input");
  field.type = "file"; field.multiple = true; field.accept = accept;
  field.setAttribute("aria-describedby", "chosen");
  const ways = kind === "sound" ? "choose or record them" : "choose them";
  put(zone, "p", `Drop ${kind}s anywhere on this page, paste one, or ${ways} here.`, "dim");
  if (kind === "sound") addMicrophone(zone);
  const chosen = put(zone, "p", "", "dim");
  chosen.id = "chosen";
  chosen.setAttribute("role", "status");
  field.onchange = () => { choose(field.files); field.value = ""; };
  const light = event => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // a browser would leave the page for the file
    zone.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop") choose(event.dataTransfer.files);
  };
  for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, light);
  document.addEventListener("paste", event => choose(event.clipboardData.files));
};
for (const given of known.fields) {
  const {role, label, kind, shown, rows} = given;
  if (kind) { addFile(given); continue; }
  const field = add(shown ? at("fields") : at("more"), role, label);
  field.dir = "auto"; field.rows = rows; field.spellcheck = false;
  if (!shown) at("more").hidden = false;
}
for (const [name, {type, value: set}] of Object.entries(known.options)) {
  const field = add(at("options"), `option-${name}`, named(name), type === "bool" ? "select" : "input");
  if (type === "bool") for (const [text, given] of [["as the model does", ""], ["yes", "true"], ["no", "false"]]) {
    put(field, "option", text).value = given;
  }
  else { field.placeholder = "as the model does"; field.inputMode = {int: "numeric", float: "decimal"}[type] ?? "text"; }
  field.value = set ?? "";
  at("options").hidden = false;
}
const fill = (example, name) => {
  for (const {role, kind} of known.fields) if (!kind) at(role).value = example[role] ?? "";
  if (reads) choose([fileOf(example[reads.role], name)]); // which asks
};
for (const [index, example] of known.examples.entries()) {
  const name = `Example ${index + 1}`;
  const button = written(at("examples"), "button", reads ? "" : example[known.fields[0].role]);
  button.type = "button";
  if (reads) {
    button.className = reads.kind;
    if (reads.kind === "picture") {
      const shown = put(button, "img");
      shown.src = URL.createObjectURL(fileOf(example[reads.role], name));
      shown.alt = "";
      button.setAttribute("aria-label", name);
    } else button.textContent = name;
  }
  button.onclick = () => { fill(example, name); if (!reads) ask(); };
}
at("access").hidden = !known.token;
at("raw").onchange = reveal;
at("form").onsubmit = event => { event.preventDefault(); ask(); };
at("form").onkeydown = event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
};
if (known.examples.length && !reads) fill(known.examples[0]);
if (location.hash === "#try" && !known.token) reads ? at("examples").firstChild.click() : ask();
