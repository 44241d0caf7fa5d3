import { make } from "./dom.js";
import { Markdown } from "./markdown.js";

const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const STATES = { running: "running", done: "done", failed: "failed", stopped: "not finished" };

/** Shows turns in a list; a turn that has grown is only added to, so that what is selected or unfolded stays so. */
export class Transcript {
  #views = new Map();

  /** `nameOf` gives the name that a turn is shown under; `views` shows kinds of parts that are more than what was said. */
  constructor(list, nameOf, views = {}) {
    this.list = list;
    this.nameOf = nameOf;
    this.views = { ...VIEWS, ...views };
  }

  show(turns) {
    this.#views.clear();
    this.list.replaceChildren();
    for (const turn of turns) this.update(turn);
  }

  update(turn) {
    let view = this.#views.get(turn);
    if (!view) {
      view = new TurnView(turn, this.nameOf(turn), this.views);
      this.#views.set(turn, view);
      this.list.append(view.element);
    }
    view.update(turn);
  }

  remove(turn) {
    this.#views.get(turn)?.element.remove();
    this.#views.delete(turn);
  }
}

class TurnView {
  #parts = new Map();

  constructor(turn, name, views) {
    this.views = views;
    this.body = make("div", { class: "parts" });
    this.status = make("p", { class: "status" });
    this.taken = make("p", { class: "taken" });
    this.element = make("li", { class: `turn by-${turn.who}` }, make("p", { class: "who", text: name }), this.body, this.status, this.taken);
  }

  update(turn) {
    this.element.dataset.state = turn.state;
    for (const part of turn.parts) {
      let view = this.#parts.get(part);
      if (!view) {
        view = this.views[turn.who === "agent" && part.kind === "text" ? "answer" : part.kind](part);
        this.#parts.set(part, view);
        this.body.append(view.element);
      }
      view.update?.(part);
    }
    const idle = turn.state === "running" && turn.parts.length === 0;
    this.status.textContent = turn.status || (idle ? "Thinking …" : "");
    this.taken.textContent = turn.state === "done" ? taken(turn) : "";
  }
}

const VIEWS = {
  answer: () => new Markdown(),
  text: () => textView("p", "text"),
  error: () => textView("p", "error"),
  line: () => textView("p", "line"),

  thinking() {
    const text = textView("p", "text");
    const element = make("details", { class: "thinking" }, make("summary", { text: "Thinking" }), text.element);
    return { element, update: text.update };
  },

  tool(part) {
    const state = make("span", { class: "state" });
    const brief = make("span", { class: "brief", text: inBrief(part.input) });
    const summary = make("summary", {}, make("span", { class: "name", text: part.name }), brief, state);
    const element = make("details", { class: "tool" }, summary);
    if (part.input !== undefined && part.input !== null) element.append(make("pre", { text: written(part.input), tabIndex: 0 }));
    let result = null;
    const update = ({ state: known, result: text }) => {
      element.dataset.state = known;
      state.textContent = STATES[known] ?? known;
      if (text === undefined || result) return;
      result = make("pre", { class: "result", text, tabIndex: 0 });
      element.append(result);
    };
    return { element, update };
  },

  image({ data, mediaType }) {
    if (!IMAGES.has(mediaType) || !/^[A-Za-z0-9+/]+=*$/.test(data)) return { element: make("p", { class: "error", text: "An image that cannot be shown" }) };
    return { element: make("img", { class: "image", alt: "Image from the agent", src: `data:${mediaType};base64,${data}` }) };
  },
};

/** Text that only grows: what is there already is left alone. White space at its end is shown once something follows. */
function textView(tag, name) {
  const node = document.createTextNode("");
  const update = ({ text }) => node.appendData(text.trimEnd().slice(node.length));
  return { element: make(tag, { class: name }, node), update };
}

function inBrief(input) {
  if (input === null || typeof input !== "object") return String(input ?? "");
  return Object.values(input).filter((value) => typeof value === "string" || typeof value === "number").join(" ").slice(0, 160);
}

const written = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** Tokens, time and money, as far as they are known. */
function taken({ result, model, cancelled }) {
  if (!result) return cancelled ? "Cancelled" : "";
  const { usage, duration_ms: duration, total_cost_usd: cost } = result;
  const tokens = [[usage?.input_tokens, "in"], [usage?.output_tokens, "out"]].filter(([count]) => Number.isFinite(count));
  const parts = [
    model,
    tokens.length ? `${tokens.map(([count, way]) => `${count.toLocaleString()} ${way}`).join(", ")} tokens` : "",
    Number.isFinite(duration) ? `${(duration / 1000).toFixed(1)} s` : "",
    cost > 0 ? `$${cost.toFixed(4)}` : "",
  ];
  return parts.filter(Boolean).join(" · ");
}
