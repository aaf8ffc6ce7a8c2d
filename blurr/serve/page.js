/* Send what is in the fields, and show the answer for a person to read. */
"use strict";
const known = JSON.parse(document.getElementById("known").textContent);
const at = id => document.getElementById(id);
const MOST = 10; // bars that are shown at once
const DARKEST = 6; // colours of entities

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
const card = (title = "") => {
  const made = put(at("answer"), "div", "", "card");
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
  const pair = put(at("answer"), "div", "", "pair");
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
const KINDS = [entities, classes, value, found, filled, texts, unknown];

/* -- asking */

const explain = (status, body) => {
  const detail = body?.detail;
  if (status === 401) return `${detail} Type it into the field “Token of this server”.`;
  if (typeof detail === "string") return detail.replace(/^inputs\[0\]: /, "");
  if (Array.isArray(detail)) return detail.map(each => {
    const where = each.loc.filter(part => !["body", "inputs", "options", 0, "Item", "str"].includes(part)).join(" ");
    return `${where ? `${named(where)}: ` : ""}${each.msg}.`;
  }).join(" ");
  return `The server answered with status ${status}, and did not say why.`;
};
const fail = (sentence, field = null) => {
  at("answer").replaceChildren();
  at("json").textContent = "";
  reveal();
  put(card(), "p", sentence, "wrong").setAttribute("role", "alert");
  field?.setAttribute("aria-invalid", "true");
  field?.focus();
};
const reveal = () => { at("json").hidden = !at("raw").checked || !at("json").textContent; };
const item = () => Object.fromEntries(
  known.fields.map(({role}) => [role, at(role).value]).filter(([, text]) => text.trim()));
const options = () => Object.fromEntries(Object.entries(known.options).flatMap(([name, {type}]) => {
  const text = at(`option-${name}`).value.trim();
  if (!text) return [];
  const isNumber = ["int", "float"].includes(type) && !Number.isNaN(Number(text));
  return [[name, type === "bool" ? text === "true" : isNumber ? Number(text) : text]];  // the server says what is wrong
}));
let asked = 0;  // of several requests the last one counts

const ask = async () => {
  const mine = ++asked, given = item();
  document.querySelectorAll("[aria-invalid]").forEach(field => field.removeAttribute("aria-invalid"));
  const empty = known.fields.find(({role, required}) => required && !(role in given));
  if (empty) return fail(`Write something into the field “${empty.label}” first.`, at(empty.role));
  if (known.token && !at("token").value) return fail("This server needs a token. Type it in below.", at("token"));
  const headers = {"Content-Type": "application/json"};
  if (known.token) headers.Authorization = `Bearer ${at("token").value}`;
  const body = {inputs: [given], ...Object.keys(options()).length && {options: options()}};
  at("answer").setAttribute("aria-busy", "true");
  let answer, read = null;
  try {
    answer = await fetch("predict", {method: "POST", headers, body: JSON.stringify(body)});
    read = await answer.json().catch(() => null);
  } catch {
    answer = null;
  }
  if (mine !== asked) return;
  at("answer").setAttribute("aria-busy", "false");
  if (!answer) return fail("The server does not answer. See whether `blurr serve` is still running.");
  if (!answer.ok || !read) return fail(explain(answer.status, read), answer.status === 401 ? at("token") : null);
  at("answer").replaceChildren();
  const [prediction] = read.predictions;
  KINDS.some(show => show(prediction, given));
  at("json").textContent = JSON.stringify(read, null, 2);
  reveal();
};

/* -- the form */

const add = (where, id, label, tag = "textarea") => {
  put(where, "label", label).htmlFor = id;
  const made = put(where, tag);
  made.id = id;
  return made;
};
for (const {role, label, shown, rows} of known.fields) {
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
for (const example of known.examples) {
  const button = written(at("examples"), "button", example[known.fields[0].role]);
  button.type = "button";
  button.onclick = () => {
    for (const {role} of known.fields) at(role).value = example[role] ?? "";
    ask();
  };
}
at("access").hidden = !known.token;
at("raw").onchange = reveal;
at("form").onsubmit = event => { event.preventDefault(); ask(); };
at("form").onkeydown = event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
};
if (known.examples.length) for (const {role} of known.fields) at(role).value = known.examples[0][role] ?? "";
if (location.hash === "#try" && !known.token) ask();
