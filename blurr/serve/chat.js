/* Hold a conversation: send all of it with each message, and show the answer as it is written. */
"use strict";
const known = JSON.parse(document.getElementById("known").textContent);
const at = id => document.getElementById(id);
let messages = [], reading = null;

function shown(role, text) {
  const item = document.createElement("li"), who = document.createElement("span"), said = document.createElement("div");
  item.className = role;
  who.className = "dim";
  who.textContent = role === "user" ? "You" : "Model";
  said.className = "bubble";
  said.dir = "auto";
  said.textContent = text;
  item.append(who, said);
  at("chat").append(item);
  item.scrollIntoView({block: "nearest"});
  return said;
}

function busy(is) {
  at("send").disabled = is;
  at("clear").disabled = is;
  at("stop").hidden = !is;
  at("first").hidden = messages.length > 0;
}

function complain(text) {
  at("wrong").textContent = text;
  at("wrong").hidden = !text;
}

/* Yield the values of server-sent events, whose lines may come in any pieces. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines)
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
  }
}

async function answer(into) {
  const asked = {model: known.model, messages: [...messages], stream: true};
  const system = at("system").value.trim();
  if (system) asked.messages.unshift({role: "system", content: system});
  if (at("temperature").value) asked.temperature = Number(at("temperature").value);
  if (at("tokens").value) asked.max_tokens = Number(at("tokens").value);
  const headers = {"Content-Type": "application/json"};
  if (known.token) headers.Authorization = "Bearer " + at("token").value;
  const found = await fetch("v1/chat/completions",
    {method: "POST", headers, body: JSON.stringify(asked), signal: reading.signal});
  if (!found.ok) throw new Error((await found.json()).error.message);
  for await (const event of events(found.body)) {
    if (event.error) throw new Error(event.error.message);
    into.textContent += event.choices[0].delta.content || "";
    into.scrollIntoView({block: "nearest"});
  }
}

async function send(text) {
  complain("");
  messages.push({role: "user", content: text});
  const asked = shown("user", text), said = shown("assistant", "");
  reading = new AbortController();
  said.parentNode.classList.add("writing");
  busy(true);
  try {
    await answer(said);
  } catch (error) {
    if (error.name !== "AbortError") complain(error.message);
  }
  said.parentNode.classList.remove("writing");
  if (said.textContent) {
    messages.push({role: "assistant", content: said.textContent});
  } else { // nothing was answered: the message can be changed and sent again
    messages.pop();
    asked.parentNode.remove();
    said.parentNode.remove();
    if (!at("text").value) at("text").value = text;
  }
  reading = null;
  busy(false);
  at("text").focus();
}

at("form").addEventListener("submit", event => {
  event.preventDefault();
  const text = at("text").value.trim();
  if (!text || reading) return;
  at("text").value = "";
  send(text);
});
at("text").addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("form").requestSubmit();
});
at("stop").addEventListener("click", () => reading && reading.abort());
at("clear").addEventListener("click", () => {
  messages = [];
  at("chat").replaceChildren();
  complain("");
  busy(false);
  at("text").focus();
});
for (const example of known.examples) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = example;
  button.addEventListener("click", () => {
    at("text").value = example;
    at("form").requestSubmit();
  });
  at("examples").append(button);
}
at("access").hidden = !known.token;
busy(false);
