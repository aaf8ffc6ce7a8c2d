/* Say how to call the model, from the schema of its API. */
"use strict";
const at = id => document.getElementById(id);
const put = (parent, tag, text = "", kind = "") => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
};
/* Put a description, whose names of code stand between backticks. */
const describe = (parent, text) => {
  const made = put(parent, "p");
  text.split("`").forEach((part, index) => put(made, index % 2 ? "code" : "span", part));
};
/* Put a text to copy, with a button that copies it. */
const block = (parent, title, text) => {
  const around = put(parent, "div", "", "block"), button = put(around, "button", `Copy ${title}`, "copy");
  const shown = put(around, "pre", text);
  shown.tabIndex = 0;
  shown.setAttribute("aria-label", title);
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch { // without https a browser lends no clipboard, except to this machine
      getSelection().selectAllChildren(shown);
      button.textContent = "Selected: press Ctrl + C";
    }
  };
};
const HEADERS = 'headers={"Authorization": f"Bearer {os.environ[\'BLURR_TOKEN\']}"},';
const texts = (part, {address, token, example, isSecured}) => {
  const quoted = example.replaceAll("'", "'\\''");
  block(part, "for the command line", `curl ${address} -H 'Content-Type: application/json'${token} -d '${quoted}'`);
  block(part, "for Python", `${isSecured ? "import os\n\n" : ""}import requests\n\nanswer = requests.post(\n` +
    `    "${address}",\n    json=${example},\n${isSecured ? `    ${HEADERS}\n` : ""})\nprint(answer.json()["predictions"])`);
};
/* JSON has a file as base64 text, which may be longer than a command line. */
const files = (part, {address, token, form, isSecured}) => {
  const isFile = name => form.properties[name].type === "array";
  const uploads = form.required.filter(isFile), others = form.required.filter(name => !isFile(name));
  block(part, "for the command line", `curl ${address}${token}` +
    uploads.map(name => ` -F ${name}=@FILE`).join("") + others.map(name => ` -F ${name}=TEXT`).join(""));
  const opened = uploads.map(name => `("${name}", open("FILE", "rb"))`).join(", ");
  const data = others.length ? `    data={${others.map(name => `"${name}": "TEXT"`).join(", ")}},\n` : "";
  block(part, "for Python", `${isSecured ? "import os\n\n" : ""}import requests\n\nanswer = requests.post(\n` +
    `    "${address}",\n    files=[${opened}],\n${data}${isSecured ? `    ${HEADERS}\n` : ""})\n` +
    'print(answer.json()["predictions"])');
  if (form.required.length === 1) block(part, "for JSON",
    `(printf '{"inputs": ["'; base64 < FILE | tr -d '\\n'; printf '"]}') |\n` +
    `  curl ${address} -H 'Content-Type: application/json'${token} -d @-`);
};
const show = api => {
  const schemas = api.components.schemas;
  const named = part => part.$ref ? schemas[part.$ref.split("/").pop()] : part;
  const kind = part => part.$ref ? part.$ref.split("/").pop()
    : part.anyOf ? part.anyOf.map(kind).filter(each => each !== "null").join(" or ")
    : part.contentEncoding ? `text of ${part.contentEncoding}`
    : part.type === "array" ? `list of ${kind(part.items)}`
    : part.type + (part.minimum ? ` from ${part.minimum} to ${part.maximum}` : "");
  const table = (parent, name, schema) => {
    if (!Object.keys(schema.properties ?? {}).length) return;
    const made = put(parent, "table"), head = put(made, "tr");
    made.prepend(Object.assign(document.createElement("caption"), {textContent: name}));
    for (const title of ["Field", "Type", "Needed"]) put(head, "th", title).scope = "col";
    for (const [field, part] of Object.entries(schema.properties)) {
      const row = put(made, "tr");
      put(put(row, "td"), "code", field); put(row, "td", kind(part));
      put(row, "td", (schema.required ?? []).includes(field) ? "yes" : "no");
    }
  };
  at("about").textContent = api.info.description;
  for (const [path, methods] of Object.entries(api.paths)) for (const [method, call] of Object.entries(methods)) {
    const part = put(at("calls"), "section", "", "call"), title = put(part, "h2");
    put(title, "span", method.toUpperCase(), "method"); put(title, "code", path);
    describe(part, call.description ?? "");
    const body = call.requestBody && named(call.requestBody.content["application/json"].schema);
    if (!body) continue;
    const address = new URL(path.slice(1), location).href, example = JSON.stringify(body.example);
    const token = call.security ? ' -H "Authorization: Bearer $BLURR_TOKEN"' : "";
    const form = call.requestBody.content["multipart/form-data"]?.schema;
    (form ? files : texts)(part, {address, token, example, form, isSecured: Boolean(call.security)});
    if (call.security) at("metrics").hidden = true; // a link sends no token
    table(part, "Request", body);
    for (const name of ["Item", "Options"]) if (schemas[name]) table(part, name, schemas[name]);
  }
};
fetch("openapi.json").then(answer => answer.json()).then(show).catch(() => {
  put(at("calls"), "p", "The server does not answer. See whether `blurr serve` is still running.", "wrong");
});
