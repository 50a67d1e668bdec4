// Elements, made without HTML: text from an event is never parsed.

export const byId = (id) => document.getElementById(id);

/** An element with a class and children: elements or text; null is skipped. */
export function el(name, className = "", ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A link that opens in a new tab. Check the scheme of an address that an event names. */
export function link(label, url) {
  return Object.assign(el("a", "", label), { href: url, target: "_blank", rel: "noopener" });
}

/** Set text only if it differs, which keeps selections and avoids layout. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

export function button(label, act, title = "") {
  const element = el("button", "", label);
  element.type = "button";
  element.onclick = act;
  if (title) element.title = title;
  return element;
}

/** Show a short message for a few seconds; screen readers read it, too. */
export function toast(message) {
  const place = byId("toast");
  place.textContent = message;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (place.textContent = ""), 4000);
}

/** Copy text; `what` names it in the message. */
export async function copy(value, what) {
  try {
    await navigator.clipboard.writeText(value);
  } catch {
    // no permission, or an insecure context
    const field = el("textarea");
    field.value = value;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) return toast("The browser does not allow this page to copy");
  }
  toast(`${what} copied`);
}

/** Keeps a list scrolled to its end, unless the reader has scrolled up. The button `newest` leads back. */
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

  /** Note whether the end is in view. */
  look() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    if (!clientHeight) return; // hidden
    this.atEnd = scrollHeight - scrollTop - clientHeight < 30;
    this.newest.hidden = this.atEnd;
  }

  /** Call this after adding content. */
  keep() {
    if (this.atEnd) this.go();
  }

  go() {
    this.atEnd = true;
    this.newest.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}
