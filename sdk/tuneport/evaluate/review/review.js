// The page of `tuneport review`: one rater, one pair after the other, each judgement saved before the next pair is shown.
"use strict";

const at = (id) => document.getElementById(id);
const choices = [...document.querySelectorAll("[data-choice]")];
let rater = "", tasks = [], place = 0, task = null, admin = false;
let busy = false, waiting = null; // a request is on its way; what to do again after it has failed
let shownAt = 0, seconds = 0; // of this pair, while it could be seen
const drafts = new Map(); // notes that were typed and not yet sent

async function ask(path, body) {
  const options = { credentials: "same-origin", signal: AbortSignal.timeout(20000) };
  if (body !== undefined) Object.assign(options, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer. Is `tuneport review` still running?");
  }
  const value = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Error(value.error || `the server answered ${reply.status}`);
  return value;
}

/** Do it, one thing at a time; where it fails, say why and keep it, to be done again. */
async function attempt(action, failing = "") {
  if (busy) return;
  busy = true;
  at("main").setAttribute("aria-busy", "true");
  try {
    await action();
    waiting = null;
    at("trouble").hidden = true;
  } catch (error) {
    waiting = () => attempt(action, failing);
    tell("");
    at("trouble-text").textContent = `${failing}${failing ? ": " : ""}${error.message}`;
    at("trouble").hidden = false;
    at("retry").focus();
  } finally {
    busy = false;
    at("main").setAttribute("aria-busy", "false");
  }
}

const tell = (text) => { at("saved").textContent = text; };
const query = () => `rater=${encodeURIComponent(rater)}`;

function show(name) {
  for (const section of ["welcome", "task", "done"]) at(section).hidden = section !== name;
  at("tools").hidden = name !== "task";
  at("who").hidden = name === "welcome";
  document.body.dataset.screen = name;
  window.scrollTo(0, 0);
}

function count() {
  const judged = tasks.filter((one) => one.choice !== null).length;
  at("place").textContent = `${judged} of ${tasks.length} judged`;
  at("progress").hidden = false;
  at("progress").max = tasks.length;
  at("progress").value = judged;
  return judged;
}

async function welcome() {
  const start = await ask("/api/start");
  admin = start.admin;
  at("admin").hidden = !admin;
  at("size").textContent = start.tasks === 1 ? "one pair" : `${start.tasks} pairs, one after the other`;
  at("known").replaceChildren(...start.raters.map(({ name, judged }) => {
    const item = document.createElement("li"), button = document.createElement("button"), how = document.createElement("span");
    button.type = "button";
    how.textContent = ` ${judged} of ${start.tasks}`;
    button.append(Object.assign(document.createElement("bdi"), { textContent: name }), how);
    button.addEventListener("click", () => attempt(() => begin(name)));
    item.append(button);
    return item;
  }));
  at("known-box").hidden = start.raters.length === 0;
  const name = new URLSearchParams(location.search).get("rater");
  if (name) return begin(name);
  at("name").focus();
}

async function begin(name) {
  const session = await ask(`/api/session?rater=${encodeURIComponent(name.trim())}`);
  ({ rater, tasks } = session);
  at("who-name").textContent = rater;
  const asked = Number(location.hash.slice(1)) - 1;
  const open = asked >= 0 && asked < tasks.length ? asked : tasks.findIndex((one) => one.choice === null);
  return open < 0 ? end() : draw(open);
}

async function draw(index) {
  task = await ask(`/api/task?id=${tasks[index].id}&${query()}`);
  place = index;
  history.replaceState(null, "", `/?${query()}#${index + 1}`);
  seconds = 0;
  shownAt = performance.now();
  at("number").textContent = `Pair ${index + 1} of ${tasks.length}`;
  at("question").replaceChildren(...task.messages.map(turn));
  at("offered").textContent = task.tools.length ? `Tools that it could call: ${task.tools.join(", ")}` : "";
  answers();
  at("note").value = drafts.get(task.id) ?? task.note;
  for (const button of choices) button.setAttribute("aria-pressed", String(button.dataset.choice === task.choice));
  at("back").disabled = index === 0;
  show("task");
  count();
  at("number").focus({ preventScroll: true });
}

function turn(message) {
  const box = document.createElement("div"), role = document.createElement("dt"), text = document.createElement("dd");
  box.className = "turn";
  role.textContent = message.role;
  text.dir = "auto";
  render(text, message.text || "(nothing)", [{ text: message.text || "(nothing)", marked: false }]);
  box.append(role, text);
  return box;
}

function answers() {
  const marked = at("differences").getAttribute("aria-pressed") === "true";
  renderBoth({ element: at("left"), text: task.left }, { element: at("right"), text: task.right }, marked);
}

function vote(choice) {
  const [one, note] = [tasks[place], at("note").value];
  const spent = Math.round(seconds + (document.hidden ? 0 : performance.now() - shownAt)) / 1000;
  let saved = false;
  tell("Saving…");
  return attempt(async () => {
    if (!saved) await ask("/api/vote", { rater, task: one.id, choice, note, seconds: spent });
    saved = true; // tried again, only what came after it is
    one.choice = choice;
    drafts.delete(one.id);
    tell("Saved");
    const ahead = tasks.findIndex((other, index) => index > place && other.choice === null);
    const next = ahead >= 0 ? ahead : tasks.findIndex((other) => other.choice === null);
    await (next >= 0 ? draw(next) : end());
  }, "Not saved yet");
}

async function end() {
  const judged = count();
  history.replaceState(null, "", `/?${query()}`);
  at("thanks").textContent = judged === tasks.length ? `All ${judged} pairs are judged and saved. You can close this page.`
    : `${judged} of ${tasks.length} pairs are judged and saved; the others wait for you under the same name.`;
  at("results").hidden = !admin;
  if (admin) results(await ask("/api/results"));
  show("done");
  at("done-title").focus({ preventScroll: true });
}

function results(found) {
  at("results-lead").textContent = `${found.votes} judgements by ${found.raters} ${found.raters === 1 ? "person" : "people"} so far.`;
  at("results-list").replaceChildren(...found.pairs.map((pair) => {
    const item = document.createElement("li"), names = document.createElement("strong"), said = document.createElement("p"), counts = document.createElement("p");
    const [won, lost, ties, bad, unclear] = pair.counts;
    names.textContent = `${pair.other} against ${pair.base}`;
    said.textContent = pair.words;
    counts.className = "soft";
    counts.textContent = `By row: ${won} for it, ${lost} against it, ${ties} tied, ${bad} both bad${unclear ? `, ${unclear} on which raters differ` : ""}.`;
    item.append(names, said, counts);
    return item;
  }));
}

function keep() { // a note that was typed is not lost by looking at another pair
  if (task && at("note").value !== task.note) drafts.set(task.id, at("note").value);
}

function move(step) {
  const index = place + step;
  if (index < 0 || busy) return;
  keep();
  tell("");
  attempt(() => (index < tasks.length ? draw(index) : end()));
}

function differences() {
  const button = at("differences");
  button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  answers();
}

function judge(choice) {
  if (!busy) vote(choice);
}

at("start").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("name").value.trim()) attempt(() => begin(at("name").value));
});
at("retry").addEventListener("click", () => waiting?.());
for (const button of choices) button.addEventListener("click", () => judge(button.dataset.choice));
at("back").addEventListener("click", () => move(-1));
at("skip").addEventListener("click", () => move(1));
at("differences").addEventListener("click", differences);
at("again").addEventListener("click", () => attempt(() => draw(0)));
at("open").addEventListener("click", () => { keep(); tell(""); attempt(end); });
at("change").addEventListener("click", () => { location.href = "/"; });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) seconds += performance.now() - shownAt;
  else shownAt = performance.now();
});
window.addEventListener("beforeunload", (event) => { if (busy || waiting) event.preventDefault(); });

const KEYS = {
  1: () => judge("left"), 2: () => judge("right"), 3: () => judge("tie"), 4: () => judge("both-bad"),
  u: () => move(-1), arrowleft: () => move(-1), s: () => move(1), arrowright: () => move(1),
  n: () => at("note").focus(), d: differences,
};
document.addEventListener("keydown", (event) => {
  if (event.target === at("note") && event.key === "Escape") at("number").focus();
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || at("task").hidden) return;
  if (["INPUT", "TEXTAREA"].includes(event.target.tagName)) return;
  const action = KEYS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});

attempt(welcome);
