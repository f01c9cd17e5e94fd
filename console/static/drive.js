// Taking over from the policy: a joint is chosen, and moves for as long as a key or a button is held.

const DEAD = 0.15; // of a stick: nobody pushes it
const AGAIN = 100; // ms between two messages: the robot stops by itself 0.3 s after the last one

export class Drive {
  constructor(connection, joints, answer) {
    this.connection = connection;
    this.answer = answer;
    this.panel = document.getElementById("drive");
    this.take = document.getElementById("take_over");
    this.select = this.panel.querySelector("select");
    this.select.replaceChildren(...joints.map((name) => new Option(name)));
    this.timer = 0;
    this.corrected = false;
    this.pushed = false; // the stick
    this.free = true; // it has been let go since the last stop
    this.take.onclick = () => this.change();
    for (const button of this.panel.querySelectorAll("button")) {
      button.onpointerdown = (event) => { button.setPointerCapture(event.pointerId); this.move(Number(button.value)); };
      button.onpointerup = button.onpointercancel = button.onblur = () => this.rest();
      button.onkeydown = (event) => { if (["Enter", " "].includes(event.key) && !event.repeat) this.move(Number(button.value)); };
      button.onkeyup = () => this.rest();
    }
    window.addEventListener("blur", () => this.rest());
    setInterval(() => this.stick(), AGAIN);
  }

  // A gamepad: its left stick moves, its shoulder buttons choose. One that is gone, or a page that nobody looks at, rests.
  stick() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find(Boolean);
    if (!pad || !this.corrected || this.select.disabled || !document.hasFocus()) return this.rest("stick");
    const share = Math.abs(pad.axes[1]) < DEAD ? 0 : Math.max(-1, Math.min(1, -pad.axes[1]));
    const step = Number(pad.buttons[5]?.pressed) - Number(pad.buttons[4]?.pressed);
    if (step && !this.stepped) this.choose(step);
    this.stepped = Boolean(step);
    if (!share) { this.free = true; this.rest("stick"); }
    else if (this.free) {
      this.pushed = true;
      this.send(this.select.value, share);
    }
  }

  choose(step) {
    const count = this.select.options.length;
    this.rest();
    this.select.selectedIndex = (this.select.selectedIndex + count + step) % count;
  }

  // What a state says of who is in control; after a stop nothing moves that is still held.
  show(corrected, stopped) {
    if (stopped) { this.free = false; this.rest(); }
    if (corrected === this.corrected) return;
    this.corrected = corrected;
    this.panel.hidden = !corrected;
    this.take.ariaPressed = String(corrected);
    this.take.firstChild.textContent = corrected ? "Give back " : "Take over ";
    if (!corrected) this.rest();
  }

  // An arrow key: sideways chooses, up and down move; whether it was one.
  key(event) {
    if (!this.corrected || this.select.disabled || !event.key.startsWith("Arrow")) return false;
    event.preventDefault();
    if (event.type === "keyup") this.rest();
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      if (!event.repeat) this.move(event.key === "ArrowUp" ? 1 : -1);
    } else this.choose(event.key === "ArrowRight" ? 1 : -1);
    return true;
  }

  async change() {
    this.answer(await this.connection.ask(this.corrected ? "give_back" : "take_over"));
  }

  move(share) {
    clearInterval(this.timer);
    const joint = this.select.value;
    this.timer = setInterval(() => this.send(joint, share), AGAIN);
    this.send(joint, share);
  }

  async send(joint, share) {
    this.moving = joint;
    const reply = await this.connection.ask("move", { joint, share });
    if (!reply.ok) { this.free = false; this.rest(); this.answer(reply); }
  }

  // Let go of all, or of the stick alone.
  rest(what = "all") {
    const moved = this.pushed || (what === "all" && this.timer);
    this.pushed = false;
    if (what === "all") { clearInterval(this.timer); this.timer = 0; }
    if (moved) this.connection.ask("move", { joint: this.moving, share: 0 });
  }
}
