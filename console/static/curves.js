// Each joint over time: where it was, what its controller has been given, and what is planned.
//
//   executed ~~~~~~~~~~|====== committed
//                      |- - - - - - - - - planned
//                     now

import { colour, onScheme } from "./colours.js";

const PAST = 5; // s
const FUTURE = 1; // s
const LEAST = 0.08; // rad or m, the smallest range that is shown
const EVERY = 100; // ms

export class Curves {
  constructor(element, joints) {
    this.element = element;
    this.past = []; // [time, values]
    this.drawn = 0;
    this.rows = joints.map((joint) => {
      const row = document.createElement("div");
      row.className = "curve";
      row.innerHTML = '<span><span class="joint"></span><b></b></span><div class="plot"></div>';
      row.querySelector(".joint").textContent = joint;
      return { row, value: row.querySelector("b"), place: row.querySelector(".plot"), plot: null };
    });
    element.replaceChildren(...this.rows.map(({ row }) => row));
    this.make();
    new ResizeObserver(() => this.resize()).observe(element);
    onScheme(() => this.make());
  }

  make() {
    for (const one of this.rows) {
      one.plot?.destroy();
      one.plot = new uPlot(options(one.place), [[0], [null], [null], [null]], one.place);
    }
  }

  resize() {
    for (const { plot, place } of this.rows) plot.setSize({ width: place.clientWidth, height: place.clientHeight });
  }

  clear() { this.past = []; }

  take(state) {
    if (state.executed && !(this.past.at(-1)?.[0] >= state.time)) this.past.push([state.time, state.executed]);
    while (this.past.length && state.time - this.past[0][0] > PAST) this.past.shift();
    const now = performance.now();
    if (document.hidden || now - this.drawn < EVERY) return;
    this.drawn = now;
    const { committed, planned } = state;
    const times = [...this.past.map(([at]) => at - state.time), ...committed.times, ...planned.times];
    const order = times.map((_, i) => i).sort((a, b) => times[a] - times[b]);
    const column = (begin, values) => {
      const whole = Array(times.length).fill(null);
      values.forEach((value, i) => { whole[begin + i] = value; });
      return order.map((i) => whole[i]);
    };
    const begin = this.past.length;
    const then = begin + committed.times.length;
    this.rows.forEach(({ value, plot }, i) => {
      plot.setData([
        order.map((j) => times[j]),
        column(0, this.past.map(([, values]) => values[i])),
        column(begin, committed.values.map((row) => row[i])),
        column(then, planned.values.map((row) => row[i])),
      ]);
      value.textContent = state.executed?.[i]?.toFixed(3) ?? "";
    });
  }
}

function options(place) {
  const axis = { stroke: () => colour("quiet"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
  return {
    width: place.clientWidth || 200,
    height: place.clientHeight || 72,
    padding: [4, 4, 4, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [-PAST, FUTURE] }, y: { range: (_, low, high) => around(low, high) } },
    axes: [
      { ...axis, show: false },
      { ...axis, size: 40, gap: 3, space: 22, font: "10px system-ui, sans-serif", values: (_, ticks) => ticks.map((v) => v.toFixed(2)) },
    ],
    series: [
      {},
      { stroke: () => colour("executed"), width: 2, spanGaps: true, points: { show: false } },
      { stroke: () => colour("committed"), width: 4, spanGaps: true, points: { show: false } },
      { stroke: () => colour("planned"), width: 2, dash: [4, 4], spanGaps: true, points: { show: false } },
    ],
    hooks: { draw: [drawNow] },
  };
}

// A range of at least LEAST, with some room.
function around(low, high) {
  if (low === null || high === null) return [0, 1];
  const half = Math.max(LEAST, (high - low) * 1.15) / 2;
  const middle = (low + high) / 2;
  return [middle - half, middle + half];
}

function drawNow(plot) {
  const x = Math.round(plot.valToPos(0, "x", true));
  plot.ctx.fillStyle = colour("edge");
  plot.ctx.fillRect(x, plot.bbox.top, 1, plot.bbox.height);
}
