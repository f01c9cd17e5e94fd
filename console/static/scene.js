// What is simulated: chosen here, begun anew with a button.

export class Scene {
  constructor(connection, choices, answer) {
    this.choices = choices;
    this.form = document.getElementById("scene");
    this.shown = "";
    document.getElementById("scene-section").hidden = false;
    const { world, seed, latency_ms, schedule } = this.form.elements;
    fill(world, Object.keys(choices.worlds));
    fill(schedule, ["", ...choices.schedules], "as the model says");
    seed.max = choices.most_seed;
    latency_ms.max = choices.most_latency_ms;
    latency_ms.step = choices.latency_step_ms;
    world.onchange = () => this.fit();
    this.fit();
    document.getElementById("dice").onclick = () => { seed.value = 1_000_000 + Math.floor(Math.random() * 9_000_000); };
    this.form.onsubmit = async (event) => {
      event.preventDefault();
      const form = this.form.elements;
      answer(await connection.ask("scene", {
        world: form.world.value,
        task: form.task.value,
        seed: Number(form.seed.value),
        latency_ms: Number(form.latency_ms.value),
        schedule: form.schedule.value,
        shift: form.shift.value,
      }));
    };
  }

  // The tasks and looks of the chosen world.
  fit() {
    const { world, task, shift } = this.form.elements;
    const { tasks, shifts } = this.choices.worlds[world.value];
    fill(task, ["", ...tasks], "any layout");
    fill(shift, shifts);
  }

  // Another browser may have begun another one.
  take(scene) {
    const text = JSON.stringify(scene);
    if (!scene || text === this.shown) return;
    this.shown = text;
    this.form.elements.world.value = scene.world;
    this.fit();
    for (const [name, value] of Object.entries(scene)) this.form.elements[name].value = value;
  }
}

function fill(select, values, empty = "") {
  const before = select.value;
  select.replaceChildren(...values.map((value) => new Option(value || empty, value)));
  if (values.includes(before)) select.value = before;
}
