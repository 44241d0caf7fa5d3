/** What is used of xterm.js. Its files come when a terminal is shown, as they are: the page allows no style in its text, and they know no other way. */
export interface Xterm {
  readonly rows: number;
  readonly cols: number;
  readonly textarea: HTMLTextAreaElement | undefined;
  options: { theme?: object; fontSize?: number; screenReaderMode?: boolean };
  open(place: HTMLElement): void;
  write(bytes: Uint8Array): void;
  reset(): void;
  focus(): void;
  paste(text: string): void;
  dispose(): void;
  hasSelection(): boolean;
  getSelection(): string;
  loadAddon(addon: Fit): void;
  onSelectionChange(hear: () => void): void;
  onData(hear: (text: string) => void): void;
  onBinary(hear: (text: string) => void): void;
  onResize(hear: (size: { rows: number; cols: number }) => void): void;
  attachCustomKeyEventHandler(takes: (event: KeyboardEvent) => boolean): void;
}
interface Fit {
  fit(): void;
}
type Made<Thing, Given extends unknown[]> = new (...given: Given) => Thing;

const FILES = "/static/vendor/xterm";
const STYLE = `${FILES}.css`;

export async function loadXterm(): Promise<{ Terminal: Made<Xterm, [options: object]>; FitAddon: Made<Fit, []> }> {
  if (!document.querySelector(`link[href="${STYLE}"]`)) {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: STYLE });
    const loaded = new Promise((resolve, reject) => Object.assign(link, { onload: resolve, onerror: reject }));
    document.head.append(link);
    await loaded;
  }
  HTMLSpanElement.prototype.setAttribute = styled;
  const [{ Terminal }, { FitAddon }] = await Promise.all([import(/* @vite-ignore */ `${FILES}.js`), import(/* @vite-ignore */ `${FILES}-fit.js`)]);
  return { Terminal, FitAddon };
}

/** The colours of a cell, which xterm.js writes as an attribute: the same without text that the policy would refuse. */
function styled(this: HTMLSpanElement, name: string, value: string): void {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

/** Opens a terminal. A style that it writes as text becomes a sheet of the page, which the policy of the page admits; returns these sheets. */
export function openIn(place: HTMLElement, terminal: Xterm): CSSStyleSheet[] {
  const sheets: CSSStyleSheet[] = [];
  const create = document.createElement.bind(document);
  const style = () => {
    const sheet = new CSSStyleSheet();
    sheets.push(sheet);
    return Object.defineProperty(create("template"), "textContent", { set: (text: string) => sheet.replaceSync(text) });
  };
  const created = { value: (name: string) => (name === "style" ? style() : create(name)), configurable: true };
  Object.defineProperty(document, "createElement", created);
  try {
    terminal.open(place);
  } finally {
    Reflect.deleteProperty(document, "createElement");
  }
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, ...sheets];
  return sheets;
}
