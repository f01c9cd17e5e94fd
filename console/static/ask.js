// The instruction: free text with what was taught to choose from, and why one was refused.

const SHOWN = 7; // suggestions

export class Ask {
  constructor(connection, sentences) {
    this.connection = connection;
    this.sentences = sentences;
    this.form = document.getElementById("ask");
    this.input = document.getElementById("instruction");
    this.list = document.getElementById("suggestions");
    this.refusal = document.getElementById("refusal");
    this.chosen = -1;
    this.refused = "";
    this.waiting = false; // for a reply: states from before it are of the instruction before
    this.form.onsubmit = (event) => { event.preventDefault(); this.send(this.input.value); };
    this.input.oninput = () => this.suggest();
    this.input.onfocus = () => this.suggest();
    this.input.onblur = () => this.close();
    this.input.onkeydown = (event) => this.key(event);
    this.list.onpointerdown = (event) => {
      const item = event.target.closest("li");
      if (!item) return;
      event.preventDefault(); // the field keeps the focus
      this.input.value = item.dataset.text;
      this.close();
    };
  }

  async send(text) {
    this.close();
    if (!text.trim()) return;
    this.refuse("", []);
    this.waiting = true;
    const reply = await this.connection.ask("instruct", { text: text.trim() });
    this.waiting = false;
    if (reply.ok) this.input.value = "";
    this.answered(reply);
  }

  // A command was answered; whether an instruction is refused after all, the next state says.
  answered({ ok, message }) {
    this.refused = "";
    this.refuse(ok ? "" : message, []);
  }

  // What a state says of the newest instruction.
  take(state) {
    if (this.waiting || state.refused === this.refused) return;
    this.refused = state.refused;
    this.refuse(state.refused, state.near);
  }

  refuse(why, near) {
    this.refusal.hidden = !why;
    this.refusal.querySelector("p").textContent = why && `Refused: ${why}`;
    this.refusal.querySelector(".near").replaceChildren(...near.map((text) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.onclick = () => this.send(text);
      return button;
    }));
  }

  // -- the list

  suggest() {
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const tasks = new Set();
    const found = [];
    for (const { task, text } of this.sentences) {
      const lower = text.toLowerCase();
      if (!words.every((word) => lower.includes(word)) || lower === words.join(" ")) continue;
      if (!words.length && tasks.has(task)) continue; // of each task one
      tasks.add(task);
      found.push({ task, text });
      if (found.length === SHOWN) break;
    }
    this.list.replaceChildren(...found.map(({ task, text }, i) => {
      const item = document.createElement("li");
      item.id = `suggestion-${i}`;
      item.role = "option";
      item.ariaSelected = "false";
      item.dataset.text = text;
      item.textContent = text;
      const name = document.createElement("small");
      name.textContent = task === text ? "" : task;
      item.append(name);
      return item;
    }));
    this.choose(-1);
    this.list.hidden = !found.length || this.input.disabled;
    this.input.ariaExpanded = String(!this.list.hidden);
  }

  close() {
    this.list.hidden = true;
    this.input.ariaExpanded = "false";
    this.choose(-1);
  }

  choose(index) {
    const items = [...this.list.children];
    this.chosen = index;
    items.forEach((item, i) => { item.ariaSelected = String(i === index); });
    if (items[index]) {
      this.input.setAttribute("aria-activedescendant", items[index].id);
      this.input.value = items[index].dataset.text;
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  key(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (this.list.hidden) { this.suggest(); return; }
    const count = this.list.children.length;
    this.choose((this.chosen + (event.key === "ArrowDown" ? 1 : count - (this.chosen < 0 ? 0 : 1))) % count);
  }
}
