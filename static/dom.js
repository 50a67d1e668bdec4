// Elements, made without any HTML: what comes from an event is text, whatever it looks like.

export const byId = (id) => document.getElementById(id);

/** An element with a class and children; a child that is text becomes a text node, null none. */
export function el(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Set text only where it differs: a selection survives, and nothing is laid out anew. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

export function button(label, act, title = "") {
  const made = el("button", "", label);
  made.type = "button";
  made.onclick = act;
  if (title) made.title = title;
  return made;
}

/** Short pieces of text that a screen reader says too, and that go away. */
export function toast(message) {
  const place = byId("toast");
  place.textContent = message;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (place.textContent = ""), 4000);
}

export async function copy(value, what) {
  try {
    await navigator.clipboard.writeText(value);
  } catch {
    // no permission, or not a secure context
    const field = el("textarea");
    field.value = value;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) return toast("The browser does not let this page copy");
  }
  toast(`${what} copied`);
}

/** A list that is looked at from its end: it scrolls along only for who is there. `button` leads back. */
export class Follow {
  constructor(scroller, newest) {
    this.scroller = scroller;
    this.newest = newest;
    this.atEnd = true;
    this.height = 0;
    scroller.addEventListener("scroll", () => this.look(), { passive: true });
    newest.onclick = () => this.go();
    new ResizeObserver(() => this.atEnd && this.go()).observe(scroller);
  }

  /** Whether the end is in sight. */
  look() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    if (!clientHeight) return; // not shown
    this.atEnd = scrollHeight - scrollTop - clientHeight < 30;
    this.newest.hidden = this.atEnd;
  }

  /** After contents were added. */
  keep() {
    if (this.atEnd) this.go();
  }

  go() {
    this.atEnd = true;
    this.newest.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}
