// The cameras: each picture as it comes, and over it the path of the hand that is planned.

import { colour } from "./colours.js";

export class Pictures {
  constructor(element, cameras) {
    this.cameras = Object.entries(cameras).map(([name, { height, width }]) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      canvas.width = 480;
      canvas.height = Math.round((480 * height) / width);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `camera ${name}, live`);
      caption.textContent = name;
      figure.append(canvas, caption);
      return { name, figure, canvas, caption, bytes: null, busy: false, at: [], path: [], frames: 0 };
    });
    element.replaceChildren(...this.cameras.map((camera) => camera.figure));
  }

  take(index, bytes) {
    const camera = this.cameras[index];
    if (!camera || document.hidden) return;
    camera.bytes = bytes;
    if (!camera.busy) this.draw(camera);
  }

  // The points that are committed are drawn thicker than those that a new chunk may change.
  paths(paths, committed) {
    for (const camera of this.cameras) {
      camera.path = paths[camera.name] ?? [];
      camera.committed = committed;
    }
  }

  async draw(camera) {
    camera.busy = true;
    while (camera.bytes) {
      const bytes = camera.bytes;
      camera.bytes = null;
      const picture = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      const context = camera.canvas.getContext("2d");
      context.drawImage(picture, 0, 0, camera.canvas.width, camera.canvas.height);
      picture.close();
      drawPath(context, camera);
      this.count(camera);
    }
    camera.busy = false;
  }

  count(camera) {
    const now = performance.now();
    camera.frames += 1;
    camera.at = [...camera.at.filter((at) => now - at < 2000), now];
    const rate = camera.at.length > 1 ? ((camera.at.length - 1) * 1000) / (now - camera.at[0]) : 0;
    camera.caption.textContent = `${camera.name}  ${rate.toFixed(0)} frames/s`;
    camera.figure.dataset.rate = rate.toFixed(1);
    camera.figure.dataset.frames = camera.frames;
  }
}

function drawPath(context, camera) {
  const { width, height } = context.canvas;
  const points = camera.path.filter(([x, y]) => x !== null && y !== null).map(([x, y]) => [x * width, y * height]);
  if (points.length < 2) return;
  const stroke = (some, style, thick) => {
    context.beginPath();
    some.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.strokeStyle = style;
    context.lineWidth = thick;
    context.lineJoin = context.lineCap = "round";
    context.stroke();
  };
  const given = points.slice(0, camera.committed + 1);
  stroke(points, "#000a", 7);
  stroke(points, colour("planned"), 3);
  if (given.length > 1) stroke(given, colour("committed"), 4);
  const [x, y] = points[points.length - 1];
  context.beginPath();
  context.arc(x, y, 6, 0, 2 * Math.PI);
  context.fillStyle = "#fff";
  context.fill();
  context.strokeStyle = "#000";
  context.lineWidth = 2;
  context.stroke();
}
