// One websocket: texts and pictures come in, commands go out. Nothing that is asked for while it is lost is kept.
//
//   lost ---> wait 0.5 s, 1 s, 2 s, 4 s ---> connected      a command that was not answered is not sent again

const CLOSED = { 4400: "messages that cannot be read", 4401: "the token is wrong", 4429: "too many browsers" };

export class Connection {
  // `on` has a function for each type of message, and for opened, lost(why) and picture(index, bytes).
  constructor(on) {
    this.on = on;
    this.waiting = new Map(); // id of a command -> what takes its reply
    this.ids = 0;
    this.wait = 500; // ms
    this.open();
  }

  open() {
    const token = encodeURIComponent(decoded(location.hash.slice(1)));
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live?token=${token}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => { this.wait = 500; this.on.opened(); };
    this.socket.onmessage = (event) => this.take(event.data);
    this.socket.onclose = (event) => this.lost(event.code);
  }

  get connected() { return this.socket.readyState === WebSocket.OPEN; }

  send(type, fields = {}) {
    if (this.connected) this.socket.send(JSON.stringify({ type, ...fields }));
  }

  // Ask for something; resolves to { ok, message }.
  ask(type, fields = {}) {
    if (!this.connected) return Promise.resolve({ ok: false, message: "not connected: nothing is sent" });
    const id = ++this.ids;
    this.send(type, { id, ...fields });
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  take(data) {
    if (typeof data !== "string") {
      const bytes = new Uint8Array(data);
      this.on.picture(bytes[0], bytes.subarray(1));
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "reply") {
      this.waiting.get(message.id)?.(message);
      this.waiting.delete(message.id);
      return;
    }
    this.on[message.type]?.(message);
    if (message.type === "state") this.send("seen", { number: message.number });
  }

  lost(code) {
    for (const resolve of this.waiting.values()) resolve({ ok: false, message: "the connection was lost" });
    this.waiting.clear();
    this.on.lost(CLOSED[code] ?? "");
    setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(2 * this.wait, 4000);
  }
}

// What a browser has encoded of an address; a text that is none of its encodings as it stands.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
