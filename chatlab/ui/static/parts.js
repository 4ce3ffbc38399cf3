// @ts-check
// What views are made of. Python puts this file before chat.js: together they are one module.
// HTML from the kernel is safe (chatlab/ui/markdown.py); here are the only places where it is set.

/** @typedef {[string[], string]} Body  closed blocks and open HTML */
/** @typedef {{id: string, text: string, detail: string}} Choice */

/**
 * @param {string} tag @param {string} name @param {Record<string, any>} [props] @param {...(Node | string)} children
 * @returns {any}
 */
function make(tag, name, props = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [key, value] of Object.entries(props)) {
    if (key in element) /** @type {any} */ (element)[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** The blocks of one field of one message: finished ones keep their elements, the open one is set anew. */
class Document_ {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
    /** @type {string[]} */ this.closed = [];
    this.open = "";
    /** @type {HTMLElement} */ this.tail = make("div", "cl-open");
    host.append(this.tail);
  }

  /** @param {Body} body */
  show([closed, open]) {
    let keep = 0;
    while (keep < this.closed.length && keep < closed.length && this.closed[keep] === closed[keep]) keep += 1;
    for (let i = this.closed.length; i > keep; i -= 1) this.host.children[i - 1].remove();
    for (const html of closed.slice(keep)) this.tail.before(withCopyButtons(make("div", "cl-block", { innerHTML: html })));
    this.closed = closed;
    if (open === this.open) return;
    this.open = open;
    this.tail.innerHTML = open;
    withCopyButtons(this.tail);
  }
}

/** @param {HTMLElement} element */
function withCopyButtons(element) {
  for (const box of element.querySelectorAll(".cl-code")) {
    box.append(copyButton("Copy code", () => box.querySelector("code")?.textContent ?? ""));
  }
  return element;
}

/** @param {string} label @param {() => string} text */
function copyButton(label, text) {
  const button = make("button", "cl-copy", { type: "button", title: label, "aria-label": label, textContent: "Copy" });
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  return button;
}

/** A button with a searchable list under it. Closes on Escape, on leaving and on choosing. */
class Picker {
  /** @param {string} label @param {(id: string) => void} choose @param {boolean} free  whether any text may be chosen */
  constructor(label, choose, free) {
    this.choose = choose;
    this.free = free;
    /** @type {Choice[]} */ this.choices = [];
    this.value = make("span", "cl-value");
    const name = label.toLowerCase();
    const button = { type: "button", title: `Choose the ${name}`, "aria-haspopup": "listbox", "aria-expanded": "false" };
    const search = { type: "text", placeholder: free ? `Search, or type a ${name} id` : "Search", "aria-label": `Search ${name}`, spellcheck: false };
    this.button = make("button", "cl-pick", button, make("span", "cl-key", { textContent: label }), this.value);
    this.search = make("input", "cl-search", search);
    this.list = make("ul", "cl-list", { role: "listbox", "aria-label": label });
    this.popup = make("div", "cl-popup", { hidden: true }, this.search, this.list);
    this.root = make("div", "cl-picker", {}, this.button, this.popup);
    this.at = 0;
    this.button.onclick = () => this.toggle(this.popup.hidden);
    this.search.oninput = () => this.fill();
    this.root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    this.root.addEventListener("focusout", (/** @type {FocusEvent} */ event) => {
      if (!this.root.contains(event.relatedTarget)) this.toggle(false);
    });
  }

  /** @param {boolean} open */
  toggle(open) {
    this.popup.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.search.value = "";
    this.fill();
    this.search.focus();
  }

  /** @param {Choice[]} choices */
  offer(choices) {
    this.choices = choices;
    if (!this.popup.hidden) this.fill();
  }

  fill() {
    const wanted = this.search.value.trim().toLowerCase();
    const found = this.choices.filter((choice) => `${choice.text} ${choice.detail}`.toLowerCase().includes(wanted));
    if (this.free && wanted && !found.some((choice) => choice.id === wanted)) {
      found.push({ id: this.search.value.trim(), text: this.search.value.trim(), detail: "as typed" });
    }
    this.at = Math.max(0, found.findIndex((choice) => choice.id === this.current && !wanted));
    this.list.replaceChildren(...found.slice(0, 200).map((choice) => {
      const item = make(
        "li", "cl-item", { role: "option", tabIndex: -1 },
        make("span", "", { textContent: choice.text }), make("small", "", { textContent: choice.detail }),
      );
      item.dataset.id = choice.id;
      item.onmousedown = (/** @type {Event} */ event) => event.preventDefault();
      item.onclick = () => this.pick(choice.id);
      return item;
    }));
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === this.at)));
    const item = this.list.children[this.at];
    if (!item) return;
    const top = item.offsetTop - this.list.offsetTop;
    const lowest = top + item.offsetHeight - this.list.clientHeight;
    this.list.scrollTop = Math.min(top, Math.max(lowest, this.list.scrollTop));  // scrollIntoView would move the notebook
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (this.popup.hidden || event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.at = Math.min(Math.max(this.at + step, 0), this.list.children.length - 1);
      this.mark();
    } else if (event.key === "Enter") this.pick(this.list.children[this.at]?.dataset.id);
    else if (event.key === "Escape") this.pick(undefined);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string | undefined} id */
  pick(id) {
    this.toggle(false);
    this.button.focus();
    if (id !== undefined && id !== this.current) this.choose(id);
  }

  /** @param {string} id @param {string} text */
  show(id, text) {
    this.current = id;
    this.value.textContent = text;
  }
}
