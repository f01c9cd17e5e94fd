// Curves of an episode: set-points, contact, mode and instruction over one time, which is that of its film, too.
"use strict";
const kept = [], scripts = new Map(); // curves by source and number; scripts that are read or being read
const WIDTH = 640, LEFT = 84, RIGHT = 6, LANE = 22;
const SVG = "http://www.w3.org/2000/svg";

// Called by the scripts in the folders of curves.
function curves(number, content) {
  const source = document.currentScript.dataset.source;
  (kept[source] ??= new Map()).set(number, content);
}

function episodeCurves(source, number) {
  if (number === null) return Promise.resolve(null);
  const { sources, group } = data, url = `${sources[source].folder}/${Math.floor(number / group)}.js`;
  if (!scripts.has(url)) {
    scripts.set(url, new Promise((resolve) => {
      const script = document.createElement("script");
      script.dataset.source = source;
      script.addEventListener("load", resolve);
      script.addEventListener("error", resolve);
      script.src = url;
      document.head.append(script);
    }));
  }
  return scripts.get(url).then(() => kept[source]?.get(number));
}

function unpack({ actions, low, span }) {
  const bytes = Uint8Array.from(atob(actions), (c) => c.charCodeAt(0)), width = low.length;
  return low.map((least, i) => {
    const values = [];
    for (let k = i; k < bytes.length; k += width) values.push(least + (span[i] * bytes[k]) / 255);
    return values;
  });
}

const draw = (name, attributes, text = "") => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
};
const at = (marks, step) => marks.findLast(([from]) => from <= step)?.[1];

function plotEpisode(place, content, video, filmFrom) {
  const series = unpack(content), end = Math.max(content.steps, 1) * data.step;
  const x = (seconds) => LEFT + ((WIDTH - LEFT - RIGHT) * seconds) / end;
  const svg = draw("svg", { role: "img", "aria-label": "set-points, contact, mode and instruction over time" });
  let y = 6;
  const arm = series.flatMap((values, i) => (data.grippers[i] ? [] : [{ i, values: values.map((v) => v - values[0]) }]));
  const grippers = series.flatMap((values, i) => (data.grippers[i] ? [{ i, values }] : []));
  y = band(svg, "set-points,", "change", arm, 150, y, x, content.stride);
  if (grippers.length) y = band(svg, grippers.length > 1 ? "grippers" : "gripper", "", grippers, 44, y, x, content.stride);
  for (const [name, label] of [["contact", "contact"], ["estimated", "estimated"], ["mode", "mode"], ["done", "done"], ["instruction", "instruction"]]) {
    if (name === "mode" && content.mode.every(([, mode]) => !mode)) continue;
    y = lane(svg, name, label, content[name], content.steps, y, x);
  }
  for (let s = 0; s <= end; s += end > 30 ? 5 : end > 12 ? 2 : 1) {
    svg.append(draw("text", { x: x(s), y: y + 14, "text-anchor": "middle", class: "name" }, `${s} s`));
  }
  const cursor = draw("line", { class: "cursor", y1: 0, y2: y });
  svg.append(cursor);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${y + 20}`);
  const now = make("p", { class: "now" }), legend = make("ul", { class: "legend" });
  const labels = data.names.map((name, i) => {
    const item = make("li", { style: `--c: var(--l${i % 8})` });
    legend.append(item);
    return item;
  });
  const plot = make("div", { class: "plot", tabindex: 0, role: "slider", "aria-label": "time", "aria-valuemin": 0, "aria-valuemax": end.toFixed(2) }, svg);
  place.replaceChildren(now, plot, legend);
  if (content.refused) place.append(make("p", { class: "refused" }, `Refused: ${content.refused}`));

  let time = 0;
  function show(seconds) {
    time = Math.min(Math.max(seconds, 0), end - data.step);
    const step = Math.min(Math.floor(time / data.step + 1e-6), content.steps - 1), row = Math.floor(step / content.stride);
    cursor.setAttribute("x1", x(time));
    cursor.setAttribute("x2", x(time));
    const facts = [at(content.mode, step), at(content.contact, step) ? "in contact" : "free", at(content.done, step) && "done"];
    now.replaceChildren(make("b", {}, `${time.toFixed(2)} s`), ` ${facts.filter(Boolean).join(", ")}: “${at(content.instruction, step) ?? ""}”`);
    labels.forEach((item, i) => (item.textContent = `${data.names[i]} ${series[i][row]?.toFixed(3) ?? ""}`));
    plot.setAttribute("aria-valuenow", time.toFixed(2));
    plot.setAttribute("aria-valuetext", now.textContent);
  }
  function seek(seconds) {
    show(seconds);
    if (video) video.currentTime = Math.max(0, time - filmFrom);
  }
  const pointed = (event) => {
    const box = svg.getBoundingClientRect();
    return (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * end;
  };
  plot.addEventListener("pointerdown", (event) => {
    plot.setPointerCapture(event.pointerId);
    seek(pointed(event));
  });
  plot.addEventListener("pointermove", (event) => {
    if (event.buttons) seek(pointed(event));
    else if (!video) show(pointed(event));
  });
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    video?.pause();
    seek(Number.isFinite(by) ? time + by * data.step : by < 0 ? 0 : end);
  });
  show(0);
  if (!video) return;
  const follow = () => {
    if (!video.isConnected) return;
    show(video.currentTime + filmFrom);
    if (!video.paused) requestAnimationFrame(follow);
  };
  for (const event of ["play", "seeked", "loadeddata"]) video.addEventListener(event, follow);
}

// Lines of one unit in a band; returns where the next one begins.
function band(svg, name, second, lines, height, y, x, stride) {
  const all = lines.flatMap((line) => line.values), low = Math.min(...all), span = Math.max(Math.max(...all) - low, 1e-6);
  const up = (value) => y + 4 + (height - 8) * (1 - (value - low) / span);
  for (const value of [low, low + span]) {
    svg.append(draw("line", { class: "tick", x1: LEFT, x2: WIDTH - RIGHT, y1: up(value), y2: up(value) }));
    const gap = value === low ? -1 : 9;
    svg.append(draw("text", { class: "name", x: LEFT - 6, y: up(value) + gap, "text-anchor": "end" }, value.toFixed(2)));
  }
  svg.append(draw("text", { class: "name", x: 0, y: y + height / 2 + (second ? -2 : 4) }, name));
  if (second) svg.append(draw("text", { class: "name", x: 0, y: y + height / 2 + 13 }, second));
  for (const { i, values } of lines) {
    const points = values.map((v, k) => `${x(k * stride * data.step).toFixed(1)},${up(v).toFixed(1)}`).join(" ");
    svg.append(draw("polyline", { class: "line", points, style: `stroke: var(--l${i % 8})` }));
  }
  return y + height + 10;
}

// A lane of marks, each from its control step to the next one.
function lane(svg, name, label, marks, steps, y, x) {
  svg.append(draw("text", { class: "name", x: 0, y: y + 15 }, label));
  svg.append(draw("line", { class: "tick", x1: LEFT, x2: WIDTH - RIGHT, y1: y + LANE, y2: y + LANE }));
  marks.forEach(([from, value], i) => {
    const to = marks[i + 1]?.[0] ?? steps;
    if (!value || to <= from) return;
    const left = x(from * data.step), width = x(to * data.step) - left;
    const kind = name === "mode" ? value : name === "instruction" ? "sentence" : name;
    const box = draw("rect", { class: kind, x: left, y: y + 4, width: Math.max(width - 1, 1), height: LANE - 7, rx: 3 });
    box.append(draw("title", {}, String(value === 1 ? label : value)));
    svg.append(box);
    if ((name === "instruction" && width > 40) || (name === "mode" && width > 52)) {
      const most = Math.floor((width - 8) / 6.2), words = value.length > most ? `${value.slice(0, most - 1)}…` : value;
      svg.append(draw("text", { class: name === "mode" ? "label" : "words", x: left + 5, y: y + 15.5 }, words));
    }
  });
  return y + LANE + 2;
}
