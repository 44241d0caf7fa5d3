import { call, graphql } from "./api.js";
import { badge, find, make } from "./dom.js";
import { CHOSEN } from "./preferences.js";
import { signInFirst } from "./session.js";
import { FitAddon } from "./vendor/xterm-fit.js";
import { Terminal } from "./vendor/xterm.js";

const VIEWER = "query Viewer { viewer { workspaces { id name slug } } }";
const AGENTS = `query Agents($ws: ID!, $after: String) {
  agents(workspaceId: $ws, first: 100, after: $after) {
    nodes { id slug name roleTitle crew { id slug } } pageInfo { hasNextPage endCursor }
  }
}`;
const LARGEST = 1000; // rows or columns
const ALOUD = "crewship.terminal.aloud"; // in this browser: the terminal is read by a screen reader
const KEYS = { Escape: "\x1b", Tab: "\t", Interrupt: "\x03", End: "\x04", Up: "\x1b[A", Down: "\x1b[B" };
const WHY = {
  1001: "The server is stopping, and the terminal with it.",
  1008: "The terminal was closed: your membership or role has changed, or its crew is gone.",
  1012: "The server is stopping, and the terminal with it.",
  4401: "Your login has ended, and the terminal with it.",
  4408: "The terminal was closed: nothing was typed for half an hour.",
  4429: "Too many terminals are open. Close one, or try again later.",
};

// each colour of both can be read on its background
const LIGHT = {
  background: "#ffffff", foreground: "#1a2732", cursor: "#12507b", cursorAccent: "#ffffff", selectionBackground: "#b9d8ee",
  black: "#1a2732", red: "#a3161a", green: "#24693f", yellow: "#7a5300", blue: "#12507b", magenta: "#7b2d7f", cyan: "#0d6670", white: "#52616e",
  brightBlack: "#52616e", brightRed: "#b8282c", brightGreen: "#2f7d4f", brightYellow: "#8a5a0b", brightBlue: "#1b6ca8", brightMagenta: "#93409a", brightCyan: "#147a85", brightWhite: "#32414e",
};
const DARK = {
  background: "#0c1217", foreground: "#e6edf2", cursor: "#7cc4f2", cursorAccent: "#0c1217", selectionBackground: "#2c4d66",
  black: "#7f8e9a", red: "#ff9d97", green: "#6fc391", yellow: "#e6b45c", blue: "#7cc4f2", magenta: "#dca0e0", cyan: "#6fd0d8", white: "#d5dde4",
  brightBlack: "#a3b3c0", brightRed: "#ffb8b3", brightGreen: "#93dcb0", brightYellow: "#f3cd86", brightBlue: "#a5d8fa", brightMagenta: "#ebc2ee", brightCyan: "#9ae3e9", brightWhite: "#ffffff",
};

const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 44rem)");
const wanted = new URLSearchParams(location.search);
const encoder = new TextEncoder();
const size = ({ rows, cols }) => ({ rows: Math.min(rows, LARGEST), cols: Math.min(cols, LARGEST) });

/** The terminal that is shown, and the socket behind it, if it is open. */
class Screen {
  #socket = null;
  #opening = false;
  #early = []; // typed before there was anybody to send it to
  #told = ""; // the last word of the server's about an error
  #fit = new FitAddon();

  constructor(agent) {
    this.agent = agent;
    this.terminal = new Terminal({
      cursorBlink: true, fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace", fontSize: narrow.matches ? 12 : 14,
      linkHandler: { activate: () => {} }, // where a program says a link leads is not to be trusted
      minimumContrastRatio: 4.5, screenReaderMode: localStorage.getItem(ALOUD) === "yes", scrollback: 5000, theme: dark.matches ? DARK : LIGHT,
    });
    this.terminal.loadAddon(this.#fit);
    this.terminal.onData((text) => this.type(text));
    this.terminal.onBinary((text) => this.#send(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    this.terminal.onResize((made) => this.#say({ type: "resize", ...size(made) }));
    this.terminal.attachCustomKeyEventHandler((event) => !this.#leaves(event));
    dark.onchange = () => (this.terminal.options.theme = dark.matches ? DARK : LIGHT);
    narrow.onchange = () => (this.terminal.options.fontSize = narrow.matches ? 12 : 14);
  }

  show(place) {
    this.terminal.open(place);
    this.terminal.textarea.setAttribute("aria-label", `Terminal of ${this.agent.name}`);
    this.#fit.fit();
    new ResizeObserver(() => this.#fit.fit()).observe(place);
  }

  get isOpen() {
    return this.#socket !== null;
  }

  async open() {
    find("#ended").hidden = true;
    find("#keys").hidden = find("#help").hidden = false;
    this.#told = "";
    this.#early = [];
    this.#opening = true;
    this.terminal.focus();
    tell("Opening …");
    const { token } = await call("GET", "/api/v1/ws-token");
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/ws/terminal`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#say({ type: "auth", token });
      const { crew, slug } = this.agent;
      this.#say({ mode: "shell", crew_id: crew.id, crew_slug: crew.slug, agent_slug: slug, ...size(this.terminal) });
      this.#opening = false;
      for (const frame of this.#early.splice(0)) this.#send(frame);
      tell("");
    };
    let opened = false;
    socket.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return this.#hear(JSON.parse(data));
      if (!opened) this.terminal.reset(); // until then the last one can be read
      opened = true;
      this.terminal.write(new Uint8Array(data));
    };
    socket.onclose = ({ code }) => {
      this.#socket = null;
      this.#opening = false;
      ended(this.#why(code, opened));
    };
  }

  #hear({ type, message }) {
    if (type === "error") this.#told = message;
    else tell(message);
  }

  #why(code, opened) {
    if (WHY[code]) return WHY[code];
    if (code === 4503) return `There is no sandbox for this agent: ${this.#told}.`;
    if (this.#told) return `The terminal was not opened: ${this.#told}.`;
    if (code === 1000) return "The shell has ended.";
    return opened ? "The connection to the server is lost, and the terminal with it." : "The server cannot open a terminal: it cannot be reached, or has no sandbox.";
  }

  type(text) {
    this.#send(encoder.encode(text));
  }

  #say(message) {
    this.#send(JSON.stringify(message));
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
    else if (this.#opening) this.#early.push(frame);
  }

  /** Tab is the shell's; somebody has to get out without a mouse. */
  #leaves({ key, ctrlKey, type }) {
    if (key !== "F6" || !ctrlKey) return false;
    if (type === "keydown") find("#aloud input").focus();
    return true;
  }
}

const tell = (text) => (find("#news").textContent = text);

function ended(why) {
  tell("");
  find("#why").textContent = why;
  find("#ended").hidden = false;
  find("#keys").hidden = find("#help").hidden = true;
  find("#again").focus();
}

async function workspaceOf(viewer) {
  const { workspaces } = viewer;
  const named = (text) => workspaces.find(({ id, slug }) => text === id || text === slug);
  return wanted.has("workspace") ? named(wanted.get("workspace")) : (named(localStorage.getItem(CHOSEN)) ?? workspaces[0]);
}

async function agentsOf(ws) {
  const found = [];
  for (let after = null; ; ) {
    const { nodes, pageInfo } = (await graphql(AGENTS, { ws, after })).agents;
    found.push(...nodes);
    if (!pageInfo.hasNextPage) return found.filter(({ crew }) => crew);
    after = pageInfo.endCursor;
  }
}

function choose(agents, workspace) {
  const link = ({ name, roleTitle, slug }) => {
    const about = make("span", { class: "about" }, make("strong", { text: name }), make("span", { text: roleTitle ?? slug }));
    return make("li", {}, make("a", { class: "agent", href: `/terminal?${new URLSearchParams({ agent: slug, workspace: workspace.id })}` }, badge(slug), about));
  };
  find("#choose ul").replaceChildren(...agents.map(link));
  find("#no-agents").hidden = agents.length > 0;
  find("#choose").hidden = false;
  find("#choose-title").focus();
}

async function begin() {
  const { viewer } = await graphql(VIEWER);
  const workspace = await workspaceOf(viewer);
  if (!workspace) throw new Error(wanted.has("workspace") ? "You are not a member of this workspace." : "You are not in a workspace yet: an owner can add you.");
  const agents = await agentsOf(workspace.id);
  const agent = agents.find(({ id, slug }) => [id, slug].includes(wanted.get("agent")));
  if (!agent && wanted.has("agent")) tell("There is no such agent here.");
  if (!agent) return choose(agents, workspace);
  document.title = `${agent.name} · Terminal · Crewship`;
  find("#title").textContent = `Terminal of ${agent.name}`;
  find("#chat").href = `/#${new URLSearchParams({ agent: agent.slug })}`;
  find("#screen").hidden = false;
  const screen = new Screen(agent);
  screen.show(find("#screen"));
  const open = () => screen.open().catch((error) => (error.status === 401 ? signInFirst() : ended(error.message)));
  find("#again").onclick = open;
  find("#keys").onclick = ({ target }) => {
    if (target.dataset.keys) screen.type(KEYS[target.dataset.keys]);
    screen.terminal.focus();
  };
  find("#aloud input").onchange = ({ target }) => {
    localStorage.setItem(ALOUD, target.checked ? "yes" : "no");
    screen.terminal.options.screenReaderMode = target.checked;
    screen.terminal.focus();
  };
  // Ctrl and W delete a word in a shell, and close a tab
  addEventListener("beforeunload", (event) => screen.isOpen && event.preventDefault());
  await open();
}

find("#aloud input").checked = localStorage.getItem(ALOUD) === "yes";
document.addEventListener("signed-out", () => signInFirst());
begin().catch((error) => {
  find("#again").hidden = true;
  ended(error.message);
});
