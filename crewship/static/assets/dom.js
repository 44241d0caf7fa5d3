/** An element. Texts become text, never markup: whatever is shown here was written by people and models. */
export function make(tag, { class: name, text, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export const find = (selector) => document.querySelector(selector);

/** "just now", "5 min ago", "14:02", "3 May". */
export function when(time, now = Date.now()) {
  const at = new Date(time);
  const minutes = (now - at) / 60_000;
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (at.toDateString() === new Date(now).toDateString()) return at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return at.toLocaleDateString([], { day: "numeric", month: "short" });
}

/** A hue for a name, so that the same one always has the same colour. */
export function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return (sum * 137) % 360; // neighbours on the wheel are far apart
}

export function badge(name) {
  const letters = name.split(/[\s_-]+/).filter(Boolean).slice(0, 2).map((word) => [...word][0].toUpperCase());
  const element = make("span", { class: "badge", text: letters.join("") || "?", "aria-hidden": "true" });
  element.style.setProperty("--hue", hue(name));
  return element;
}
