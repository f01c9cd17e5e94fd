// The last minute: which instruction, in which mode, in contact or not, done or not.
//
//   instruction  [ open the drawer ][ turn on the lamp      ]
//   mode         [ forward ][rollb.][ forward               ]
//   contact      ____/~~~~~~~~\________/~~\__________________      probabilities, as the policy estimates them
//   done         ____________________________________/~~~~~~~

import { colour, onScheme } from "./colours.js";

const SPAN = 60; // s
const EVERY = 200; // ms between two drawings
const LEFT = 74; // pixels, of the names

export class Timeline {
  constructor(canvas) {
    this.canvas = canvas;
    this.course = []; // [time, instruction, mode, contact, done, finished]
    this.drawn = 0;
    new ResizeObserver(() => this.draw()).observe(canvas);
    onScheme(() => this.draw());
  }

  begin(course) { this.course = course; this.draw(); }

  take(state) {
    const last = this.course.at(-1)?.[0];
    if (last > state.time + 0.05) this.course = []; // a simulation has begun anew; less is rounding
    if (!(this.course.at(-1)?.[0] > state.time - 0.1)) {
      this.course.push([state.time, state.serves, state.mode, state.contact, state.done, state.finished]);
    }
    while (this.course.length && state.time - this.course[0][0] > SPAN) this.course.shift();
    if (document.hidden || performance.now() - this.drawn < EVERY) return;
    this.draw();
  }

  draw() {
    this.drawn = performance.now();
    const { canvas, course } = this;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const end = course.at(-1)?.[0] ?? 0;
    const x = (time) => width - ((end - time) / SPAN) * (width - LEFT);
    const lane = (height - 14) / 4;
    const names = ["instruction", "mode", "contact", "done"];
    names.forEach((name, i) => {
      context.fillStyle = colour("quiet");
      context.fillText(name, 0, lane * (i + 0.5));
      context.fillStyle = colour("line");
      context.fillRect(LEFT, lane * (i + 1) - 1, width - LEFT, 1);
    });
    this.blocks(context, 1, x, lane * 0, lane, () => "accent", "on-accent");
    this.blocks(context, 2, x, lane * 1, lane, (mode) => mode, "panel");
    this.area(context, 3, x, lane * 2, lane, colour("rollback"));
    this.area(context, 4, x, lane * 3, lane, colour("good"));
    context.fillStyle = colour("quiet");
    for (let back = 10; back < SPAN; back += 10) context.fillText(`-${back} s`, x(end - back) - 14, height - 6);
  }

  // Stretches of one text, each as a block with the text in it where there is room.
  blocks(context, column, x, top, lane, paint, ink) {
    const { course } = this;
    for (let i = 0, j; i < course.length; i = j) {
      const text = course[i][column];
      for (j = i + 1; j < course.length && course[j][column] === text;) j += 1;
      if (!text) continue;
      const [from, to] = [x(course[i][0]), x(course[Math.min(j, course.length - 1)][0])];
      context.fillStyle = colour(paint(text));
      context.beginPath();
      context.roundRect(from, top + 3, Math.max(to - from - 1, 2), lane - 7, 4);
      context.fill();
      if (to - from < 24) continue;
      context.save();
      context.clip();
      context.fillStyle = colour(ink);
      context.fillText(text, from + 6, top + lane / 2);
      context.restore();
    }
  }

  // A probability over time.
  area(context, column, x, top, lane, style) {
    const bottom = top + lane - 1;
    const points = this.course.filter((row) => row[column] !== null);
    if (points.length < 2) return;
    context.beginPath();
    context.moveTo(x(points[0][0]), bottom);
    for (const row of points) context.lineTo(x(row[0]), bottom - row[column] * (lane - 5));
    context.lineTo(x(points.at(-1)[0]), bottom);
    context.fillStyle = style;
    context.globalAlpha = 0.75;
    context.fill();
    context.globalAlpha = 1;
  }
}
