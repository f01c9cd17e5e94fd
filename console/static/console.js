// The page: what comes over the connection goes to its parts; keys and buttons go back.

import { Ask } from "./ask.js";
import { Connection } from "./connection.js";
import { Curves } from "./curves.js";
import { Drive } from "./drive.js";
import { Pictures } from "./pictures.js";
import { Scene } from "./scene.js";
import { Timeline } from "./timeline.js";

const OLD = 1; // s: news of the robot that is older is no news
const LINES = 60; // of the log
const $ = (id) => document.getElementById(id);
const page = { you: 0, people: null, state: null, stops: false, lost: "" };
const timeline = new Timeline($("timeline"));
let ask, curves, drive, pictures, scene, robot;

const connection = new Connection({
  opened() { document.body.dataset.connected = "yes"; },
  lost(why) {
    document.body.dataset.connected = "no";
    page.you = 0;
    page.people = null;
    page.lost = why;
    showPeople();
    showBanner();
  },
  hello(hello) {
    page.you = hello.you;
    page.stops = hello.stops;
    page.lost = "";
    build(hello);
    $("log").replaceChildren();
    hello.log.forEach(addLine);
    timeline.begin(hello.course);
    const name = localStorage.getItem("name");
    if (name) connection.send("name", { name });
    if (name) $("name").value = name;
  },
  people(people) { page.people = people; showPeople(); },
  log({ lines }) { lines.forEach(addLine); },
  picture(index, bytes) { pictures?.take(index, bytes); },
  state(state) {
    if (page.state && state.time < page.state.time) curves.clear();
    page.state = state;
    curves.take(state);
    timeline.take(state);
    ask.take(state);
    drive.show(state.corrected, Boolean(state.stopped));
    scene?.take(state.scene);
    const end = state.committed.times.at(-1) ?? 0;
    pictures.paths(state.paths, state.planned.times.filter((time) => time <= end).length);
    showNow(state);
    showBanner();
  },
});

// The parts of the page that follow from the robot; a server that was started anew may have another one.
function build({ model, backend, cameras, joints, sentences, choices, commands }) {
  const now = JSON.stringify([model, cameras, joints, sentences, choices, commands]);
  if (robot === now) return;
  if (robot) return location.reload();
  robot = now;
  text($("robot"), `${model} · ${backend}`);
  pictures = new Pictures($("cameras"), cameras);
  curves = new Curves($("curves"), joints);
  ask = new Ask(connection, sentences);
  drive = new Drive(connection, joints, answer);
  if (choices) scene = new Scene(connection, choices, answer);
  $("push").hidden = !commands.includes("push");
  $("take_over").hidden = !commands.includes("take_over");
}

// -- what is shown

function showNow(state) {
  const rests = state.idle || !state.instruction;
  text($("verb"), state.stopped ? "Stopped" : state.corrected ? "A person is in control:" : rests ? "Waiting" : state.finished ? "Done:" : state.holding ? "Holding:" : "Doing:");
  text($("instruction-now"), state.instruction || (rests && !state.stopped ? "for an instruction" : ""));
  const next = [
    state.following.length && `then ${state.following.join(", then ")}`,
    state.unfinished && `"continue" resumes: ${state.unfinished}`,
  ].filter(Boolean).join(" · ");
  text($("next"), next);
  chip("mode", state.mode, state.mode);
  $("mode").dataset.mode = state.mode;
  chip("contact", state.contact !== null, percent(state.contact), state.contact > 0.5);
  chip("done", state.done !== null, percent(state.done), state.finished);
  chip("judged", state.judged !== null, state.judged ? `simulator: ${state.scene?.task} is done` : `simulator: ${state.scene?.task} is not done`, state.judged);
  const figures = Object.entries(state.figures);
  const list = $("figures");
  if (list.children.length !== figures.length) {
    list.replaceChildren(...figures.map(() => {
      const pair = document.createElement("div");
      pair.append(document.createElement("dt"), document.createElement("dd"));
      return pair;
    }));
  }
  figures.forEach(([name, value], i) => { text(list.children[i].children[0], name); text(list.children[i].children[1], value); });
}

function showBanner() {
  const { state, people, stops, lost } = page;
  let banner = "";
  if (!people) {
    const meanwhile = stops ? "The arm is stopped if the browser in control is lost." : "The robot goes on with its instruction.";
    banner = lost ? `Not connected: ${lost}.` : `The connection is lost; trying again. ${meanwhile}`;
    if (!page.state && !lost) banner = "Connecting.";
  } else if (state?.stopped) banner = `${capital(state.stopped)}. Press Reset to go on.`;
  else if (state?.age > OLD) banner = `No news of the robot for ${state.age.toFixed(0)} s.`;
  else if (state?.faults.length) banner = capital(state.faults.join("; "));
  text($("banner"), banner);
  $("banner").hidden = !banner;
}

function showPeople() {
  const { people, you } = page;
  const yours = Boolean(people?.control && people.control.number === you);
  document.body.dataset.control = yours ? "you" : people?.control ? "other" : "no";
  const others = people ? people.names.length - 1 : 0;
  const who = !people ? "not connected" : yours ? "You have control" : people.control ? `${people.control.name} has control` : "Nobody has control";
  text($("holder"), who + (others ? ` · ${others} other${others > 1 ? "s" : ""} watching` : ""));
  $("take").hidden = yours || !people;
  text($("take"), people?.control && !yours ? `Take control from ${people.control.name}` : "Take control");
  $("release").hidden = !yours;
  $("emergency").disabled = !people;
  for (const element of document.querySelectorAll("#ask input, #ask button, .buttons button, #drive select, #scene input, #scene select, #dice, #refusal button")) {
    element.disabled = !yours;
  }
}

function addLine({ at, level, text: words }) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = at;
  const said = document.createElement("span");
  said.className = level;
  said.textContent = words;
  item.append(time, said);
  $("log").prepend(item);
  while ($("log").children.length > LINES) $("log").lastChild.remove();
}

function chip(id, shown, words, on = false) {
  const element = $(id);
  element.hidden = !shown;
  text(element.querySelector("b") ?? element, words || "");
  element.dataset.on = on ? "yes" : "no";
}

function text(element, words) { if (element.textContent !== words) element.textContent = words; }
function percent(share) { return share === null ? "" : `${Math.round(100 * share)} %`; }
function capital(words) { return words.charAt(0).toUpperCase() + words.slice(1); }

// -- what is asked for

function answer(reply) { ask?.answered(reply); }

async function press(command) { answer(await connection.ask(command)); }

$("emergency").onclick = () => press("emergency_stop");
for (const command of ["stop", "continue", "reset", "push"]) $(command).onclick = () => press(command);
$("take").onclick = () => connection.send("take");
$("release").onclick = () => connection.send("release");
$("name").onchange = () => {
  const name = $("name").value.trim();
  localStorage.setItem("name", name);
  if (name) connection.send("name", { name });
};

const KEYS = { t: "take_over", s: "stop", c: "continue", r: "reset", p: "push" };
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return void (event.repeat || press("emergency_stop"));
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.altKey || event.metaKey) return;
  if (drive?.key(event)) return;
  if (event.key === "/") { event.preventDefault(); $("instruction").focus(); }
  const button = $(KEYS[event.key.toLowerCase()]);
  if (button && !button.disabled && !button.hidden && !event.repeat) button.click();
});
document.addEventListener("keyup", (event) => drive?.key(event));

showPeople();
