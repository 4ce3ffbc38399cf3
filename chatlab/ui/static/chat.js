// @ts-check
/// <reference path="./parts.js" />
// The chat view: shows what the kernel sends and sends back what the reader does. Nothing is decided here.

/** @typedef {{text: string, title: string, kind: string}} Label */
/** @typedef {{id: string, parent: string | null, role: string, model: string, status: string, note: string,
 *   error: string, said: string, footer: Label[], body: Record<string, Body>}} Node_ */
/** @typedef {{nodes: Map<string, Node_>, head: string | null, facts: Record<string, any>, next: number}} State */

/** @returns {State} */
export const emptyState = () => ({ nodes: new Map(), head: null, facts: {}, next: -1 });

/**
 * Follow one message; the same as chatlab/ui/front.py. Returns "all", "gap", null (not for us), or the operations.
 * @param {State} state @param {any} message @param {string} name
 * @returns {"all" | "gap" | null | any[][]}
 */
export function reduce(state, message, name) {
  if (message.t === "snap") {
    if (message.to !== name && state.next >= 0) return null;
    const { nodes, head, facts } = message.state;
    state.nodes = new Map(nodes.map((/** @type {Node_} */ node) => [node.id, node]));
    state.head = head;
    state.facts = { ...facts };
    state.next = message.seq;
    return "all";
  }
  if (message.t !== "ops" || state.next < 0) return null;
  if (message.seq !== state.next) {
    state.next = -1;
    return "gap";
  }
  state.next += 1;
  for (const [kind, a, b, c] of message.ops) {
    if (kind === "add") state.nodes.set(a.id, a);
    else if (kind === "head") state.head = a;
    else if (kind === "describe") Object.assign(state.facts, a);
    else if (kind === "set") Object.assign(node_(state, a), b);
    else if (kind === "body") node_(state, a).body[b] = patched(node_(state, a).body[b], c);
  }
  return message.ops;
}

/** @param {State} state @param {string} id @returns {Node_} */
const node_ = (state, id) => /** @type {Node_} */ (state.nodes.get(id));

/** @param {Body} body @param {any[]} patch @returns {Body} */
function patched([closed, open], [keep, added, prefix, suffix, middle]) {
  return [[...closed.slice(0, keep), ...added], open.slice(0, prefix) + middle + open.slice(open.length - suffix)];
}

/** One message. */
class Message {
  /** @param {Node_} node */
  constructor(node) {
    this.text = make("div", "cl-text jp-RenderedHTMLCommon", { dir: "auto" });
    this.thought = make("div", "cl-thought jp-RenderedHTMLCommon", { dir: "auto" });
    this.fold = make("details", "cl-reasoning", { hidden: true }, make("summary", "", { textContent: "Reasoning" }), this.thought);
    this.note = make("p", "cl-note", { role: "status", hidden: true });
    this.error = make("p", "cl-error", { role: "alert", hidden: true });
    this.foot = make("footer", "cl-foot");
    const who = make("h6", "cl-who", { textContent: node.role === "user" ? "You" : node.model || "Assistant" });
    this.root = make("article", `cl-message cl-${node.role}`, {}, who, this.fold, this.text, this.note, this.error, this.foot);
    this.docs = { text: new Document_(this.text), reasoning: new Document_(this.thought) };
    this.touched = false;
    this.fold.addEventListener("click", () => { this.touched = true; });
    if (node.role === "user") this.text.textContent = node.said;
    this.show(node);
  }

  /** @param {Node_} node */
  show(node) {
    const streaming = node.status === "streaming";
    if (node.role !== "user") this.showBodies(node, streaming);
    this.root.dataset.status = node.status;
    this.root.setAttribute("aria-busy", String(streaming));
    for (const [element, words] of [[this.note, node.note], [this.error, node.error]]) {
      element.hidden = !words;
      element.textContent = words;
    }
    const badge = { stopped: "stopped", partial: "cut off", error: "failed" }[node.status];
    const labels = badge ? [{ text: badge, title: "How this answer ended", kind: node.status }, ...node.footer] : node.footer;
    this.foot.replaceChildren(...labels.map(({ text, title, kind }) => make("span", `cl-label cl-${kind}`, { textContent: text, title })));
    if (node.role === "assistant" && !streaming) this.foot.append(copyButton("Copy answer", () => this.text.innerText));
  }

  /** @param {Node_} node @param {boolean} streaming */
  showBodies(node, streaming) {
    const { text, reasoning } = node.body;
    const spoke = text[0].length > 0 || text[1] !== "";
    this.docs.text.show(text);
    this.docs.reasoning.show(reasoning);
    this.fold.hidden = reasoning[0].length === 0 && reasoning[1] === "";
    if (!this.touched) this.fold.open = streaming && !spoke;  // open while it is all there is
    this.root.classList.toggle("cl-waiting", streaming && !spoke && this.fold.hidden);
  }
}

/** The whole view: header, messages, composer. */
class View {
  /** @param {any} model @param {HTMLElement} root */
  constructor(model, root) {
    this.model = model;
    this.name = Math.random().toString(36).slice(2);
    this.state = emptyState();
    /** @type {Map<string, Message>} */ this.messages = new Map();
    this.sticky = true;
    this.byHand = 0;
    this.unanswered = "";  // sent, and not yet part of the conversation
    this.build(model.get("composer"));
    root.append(this.root);
    // Else JupyterLab takes Shift+Enter (it would run the cell again) and single letters as shortcuts.
    for (const type of ["keydown", "keyup", "keypress", "paste", "copy", "cut"]) this.root.addEventListener(type, (event) => event.stopPropagation());
  }

  /** @param {boolean} composer */
  build(composer) {
    this.modelPicker = new Picker("Model", (id) => this.send({ t: "model", model: id }), true);
    this.toolPicker = new Picker("Tool", (id) => this.send({ t: "tool", tool: id || null }), false);
    const warning = "Answers come from the built-in simulator, not from a model";
    this.badge = make("span", "cl-simulated", { textContent: "SIMULATED", title: warning, hidden: true });
    this.total = make("span", "cl-total");
    const head = make("header", "cl-head", {}, this.modelPicker.root, this.toolPicker.root, this.badge, this.total);
    this.log = make("div", "cl-log", { role: "log", "aria-live": "polite", "aria-label": "Messages", tabIndex: 0 });
    this.empty = make("p", "cl-empty", { textContent: "Ask something. Every answer is stored, with its tokens and its cost." });
    this.jump = make("button", "cl-jump", { type: "button", textContent: "↓ newest", hidden: true });
    const keys = "Enter sends, Shift+Enter makes a new line, Escape stops";
    this.box = make("textarea", "cl-box", { rows: 1, placeholder: "Write a message", "aria-label": "Message", title: keys });
    this.go = make("button", "cl-send", { type: "button", textContent: "Send" });
    this.halt = make("button", "cl-stop", { type: "button", textContent: "Stop", hidden: true });
    this.notice = make("p", "cl-notice", { role: "status", hidden: true });
    const middle = make("div", "cl-middle", {}, this.log, this.jump);
    const bar = make("div", "cl-bar", {}, ...(composer ? [this.box, this.go, this.halt] : [this.halt]));
    const parts = [...(composer ? [head] : []), middle, this.notice, bar];
    this.root = make("section", "cl-chat", { "aria-label": composer ? "Chat" : "Exchange" }, ...parts);
    this.root.dataset.kind = composer ? "chat" : "exchange";
    this.go.onclick = () => this.post();
    this.halt.onclick = () => this.send({ t: "stop" });
    this.box.oninput = () => this.grow();
    this.root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    this.followByHand();
  }

  /** Only the reader's own gesture lets go of the end: new text fires "scroll" too. */
  followByHand() {
    const atEnd = () => this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 24;
    for (const type of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      this.log.addEventListener(type, () => { this.byHand = performance.now(); }, { passive: true });
    }
    this.log.addEventListener("scroll", () => {
      if (atEnd()) this.sticky = true;
      else if (performance.now() - this.byHand < 500) this.sticky = false;
      this.jump.hidden = this.sticky;
    });
    this.jump.onclick = () => { this.sticky = true; this.follow(); };
    new ResizeObserver(() => this.follow()).observe(this.log);
  }

  follow() {
    if (this.sticky) this.log.scrollTop = this.log.scrollHeight;
    this.jump.hidden = this.sticky;
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing) return;
    if (event.key === "Escape" && this.busy) this.send({ t: "stop" });
    if (event.target !== this.box || event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    this.post();
  }

  post() {
    const text = this.box.value;
    if (!text.trim() || this.busy || !this.send({ t: "send", text })) return;
    this.unanswered = text;
    this.box.value = "";
    this.sticky = true;
    this.tell("");
    this.grow();
  }

  /** @param {string} words */
  tell(words) {
    this.notice.textContent = words;
    this.notice.hidden = !words;
  }

  /** A refusal: give back what could not be sent. @param {string} words */
  refused(words) {
    this.tell(words);
    if (this.unanswered && !this.box.value) this.box.value = this.unanswered;
    this.unanswered = "";
    this.grow();
  }

  grow() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight + 2, 200)}px`;
  }

  /** @param {Record<string, any>} message */
  send(message) {
    try {
      this.model.send(message);
      return true;
    } catch {
      this.tell("The kernel of this chat is gone. Run the cell again; lab.resume() brings stored messages back.");
      return false;
    }
  }

  /** @param {any} message */
  receive(message) {
    if (message.t === "note") return message.unsent ? this.refused(message.text) : this.tell(message.text);
    if (message.t === "choices") {
      this.modelPicker.offer(message.models);
      return this.toolPicker.offer(message.tools);
    }
    const ops = reduce(this.state, message, this.name);
    if (ops === "gap") return void this.send({ t: "ready", name: this.name });
    if (ops === null) return;
    if (ops === "all") this.paint();
    else this.update(ops);
    this.describe();
  }

  /** @param {any[][]} ops */
  update(ops) {
    if (ops.some(([kind]) => kind === "add")) this.unanswered = "";
    if (ops.some(([kind]) => kind === "head")) return this.paint();
    const touched = new Set(ops.filter(([kind]) => kind === "body" || kind === "set").map(([, id]) => id));
    for (const id of touched) this.messages.get(id)?.show(node_(this.state, id));
    this.follow();
  }

  /** Show the active path; messages that are there already keep their elements. */
  paint() {
    const path = [];
    for (let id = this.state.head; id !== null && this.state.nodes.has(id); id = node_(this.state, id).parent) path.unshift(id);
    for (const [id, message] of this.messages) {
      if (path.includes(id)) continue;
      message.root.remove();
      this.messages.delete(id);
    }
    this.empty.remove();
    path.forEach((id, i) => {
      const node = node_(this.state, id);
      const message = this.messages.get(id) ?? new Message(node);
      this.messages.set(id, message);
      message.show(node);
      if (this.log.children[i] !== message.root) this.log.insertBefore(message.root, this.log.children[i] ?? null);
    });
    if (!path.length) this.log.append(this.empty);
    this.follow();
  }

  describe() {
    const { model, tool, simulated, total } = this.state.facts;
    this.modelPicker.show(model ?? "", model ?? "none");
    this.toolPicker.show(tool ?? "", tool ?? "none");
    this.badge.hidden = !simulated;
    this.total.textContent = total?.text ?? "";
    this.total.title = total?.title ?? "";
    this.busy = [...this.state.nodes.values()].some((node) => node.status === "streaming");
    this.log.setAttribute("aria-busy", String(this.busy));
    this.go.hidden = this.busy;
    this.halt.hidden = !this.busy;
    this.root.dataset.busy = String(this.busy);
  }
}

export default {
  /** @param {{model: any, el: HTMLElement}} context */
  render({ model, el }) {
    const view = new View(model, el);
    const receive = (/** @type {any} */ message) => view.receive(message);
    model.on("msg:custom", receive);
    view.send({ t: "ready", name: view.name });
    return () => model.off("msg:custom", receive);
  },
};
