// The episodes: filter, sort, open; beside an episode its film and its curves.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const FIRST = 100; // rows that are shown at once
const $ = (selector) => document.querySelector(selector);
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const badge = (outcome) => make("span", { class: `badge ${outcome.replace(" ", "-")}` }, outcome);
data.rows.forEach((row, number) => (row.number = number));

// -- filter and sort

const search = $("#search"), selects = new Map();
let sorted = { by: "number", down: false }, most = FIRST, found = data.rows;

for (const name of data.filters) {
  const values = [...new Set(data.rows.map((row) => row[name] ?? ""))].filter(Boolean).sort();
  const select = make("select", { id: `filter-${name}` }, make("option", { value: "" }, "all"));
  select.append(...values.map((value) => make("option", { value }, value)));
  select.addEventListener("change", refresh);
  selects.set(name, select);
  $("#filters").append(make("label", {}, data.columns[name] || name, select));
}
for (const [name, label] of Object.entries(data.columns)) {
  const head = make("th", { scope: "col", "data-column": name });
  if (label) head.append(make("button", { type: "button" }, label));
  head.firstChild?.addEventListener("click", () => {
    sorted = { by: name, down: sorted.by === name && !sorted.down };
    refresh();
  });
  $("#rows thead tr").append(head);
}

function compare(a, b) {
  const x = a[sorted.by], y = b[sorted.by];
  if (x === y) return a.number - b.number;
  if (x === undefined || y === undefined) return x === undefined ? 1 : -1; // what was not measured comes last
  const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
  return sorted.down ? -order : order;
}

function refresh() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  found = data.rows.filter(
    (row) =>
      [...selects].every(([name, select]) => !select.value || row[name] === select.value) &&
      words.every((word) => Object.keys(data.columns).some((name) => String(row[name] ?? "").toLowerCase().includes(word))),
  );
  found.sort(compare);
  for (const head of document.querySelectorAll("#rows thead th")) {
    head.removeAttribute("aria-sort");
    if (head.dataset.column === sorted.by) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
  }
  $("#rows tbody").replaceChildren(...found.slice(0, most).map(line));
  const won = found.filter((row) => row.outcome === "success").length;
  const judged = found.some((row) => row.outcome === "success" || row.outcome === "failure");
  $("#count").textContent =
    found.length === 0 ? "No episode is like that." : `${found.length} of ${data.rows.length} episodes` + (judged ? `, ${won} successes` : "");
  $("#more").hidden = found.length <= most;
  $("#more").textContent = `Show ${found.length - most} more`;
  $("#clear").hidden = found.length === data.rows.length;
}

function line(row) {
  const cells = Object.keys(data.columns).map((name) => {
    const value = row[name] ?? "", number = typeof value === "number";
    const cell = make("td", { class: name + (number ? " number" : "") });
    if (name === "outcome") cell.append(badge(value));
    else if (name === "seed") cell.append(make("button", { type: "button" }, String(value)));
    else cell.append(number ? value.toFixed(1) : value);
    if (name === "seed" && row.films.some(Boolean)) cell.classList.add("film");
    return cell;
  });
  const made = make("tr", { "data-number": row.number }, ...cells);
  made.addEventListener("click", () => open(row));
  return made;
}

search.addEventListener("input", refresh);
$("#filters").addEventListener("submit", (event) => event.preventDefault());
$("#more").addEventListener("click", () => { most = Infinity; refresh(); });
$("#clear").addEventListener("click", () => {
  search.value = "";
  selects.forEach((select) => (select.value = ""));
  refresh();
});
for (const button of document.querySelectorAll("[data-task]")) {
  button.addEventListener("click", () => {
    selects.forEach((select) => (select.value = ""));
    if (selects.has("task")) selects.get("task").value = button.dataset.task;
    refresh();
    $("#episodes").scrollIntoView();
  });
}

// -- films

const filmed = data.rows.filter((row) => row.films.some(Boolean));
filmed.sort((a, b) => (a.outcome === "success") - (b.outcome === "success") || a.number - b.number);
$("#films").hidden = filmed.length === 0;
for (const row of filmed) {
  const button = make("button", { type: "button" }, "Curves and details");
  button.addEventListener("click", () => open(row));
  const video = make("video", { src: `${row.films.find(Boolean)}#t=0.1`, controls: "", muted: "", loop: "", preload: "metadata" });
  video.setAttribute("aria-label", `${row.task}, seed ${row.seed}`);
  const remark = make("small", {}, [row.condition, `seed ${row.seed}`, row.note].filter(Boolean).join(" · "));
  const caption = make("figcaption", {}, badge(row.outcome), make("b", {}, row.task), make("q", {}, row.instruction), remark, button);
  $(".films").append(make("figure", {}, video, caption));
}

// -- one episode

const dialog = $("#episode");
let opened = null;

function open(row) {
  opened = row;
  $("#episode-title").textContent = `${row.task}, seed ${row.seed}`;
  const facts = [row.condition, row.method, row.start && `from ${row.start}`, row.seconds !== undefined && `${row.seconds.toFixed(1)} s`, row.note];
  $("#episode-remark").replaceChildren(badge(row.outcome), `“${row.instruction}” · ` + facts.filter(Boolean).join(" · "));
  $("#parts").replaceChildren(...data.sources.map((source, i) => part(row, source, i)));
  const at = found.indexOf(row);
  $("#previous").disabled = at <= 0;
  $("#next").disabled = at < 0 || at === found.length - 1;
  if (!dialog.open) dialog.showModal();
  history.replaceState(null, "", `#episode-${row.number}`);
}

function part(row, source, i) {
  const film = row.films[i], left = make("div"), right = make("div"), made = make("div", { class: "part" });
  if (source.title) made.append(make("h3", {}, source.title));
  let video = null;
  if (film) {
    video = make("video", { src: film, controls: "", preload: "auto", "aria-label": "film of the episode" });
    video.muted = true;
    left.append(video);
  } else if (data.film) {
    const command = `${data.film} ${row.seed}` + (data.conditions ? ` --condition "${row.condition}"` : "");
    left.append(make("div", { class: "none" }, "Not filmed. To film it:", make("pre", {}, command)));
  }
  if (left.hasChildNodes()) made.append(left);
  else made.classList.add("whole");
  made.append(right);
  right.append(make("p", { class: "now" }, "reading …"));
  episodeCurves(i, row.curves[i]).then((curves) => {
    if (curves) plotEpisode(right, curves, video, row.films_from?.[i] ?? row.film_from ?? 0);
    else right.replaceChildren(make("div", { class: "none" }, "No curves were recorded."));
  });
  return made;
}

function step(by) {
  const next = found[found.indexOf(opened) + by];
  if (opened && next) open(next);
}
$("#previous").addEventListener("click", () => step(-1));
$("#next").addEventListener("click", () => step(1));
$("#close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  $("#parts").replaceChildren();
  history.replaceState(null, "", location.pathname + location.search);
  const button = opened && $(`#rows tr[data-number="${opened.number}"] button`);
  opened = null;
  button?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const key = event.key.toLowerCase();
  if (dialog.open && key === "j") step(1);
  else if (dialog.open && key === "k") step(-1);
  else if (!dialog.open && key === "/") {
    event.preventDefault();
    search.focus();
  }
});

refresh();
const asked = location.hash.match(/^#episode-(\d+)$/);
if (asked && data.rows[asked[1]]) open(data.rows[asked[1]]);
