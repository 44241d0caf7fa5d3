// Each colour of both can be read on its background.
const LIGHT = {
  background: "#ffffff", foreground: "#1a1d23", cursor: "#2f4bc9", cursorAccent: "#ffffff", selectionBackground: "#b9d8ee",
  black: "#1a2732", red: "#a3161a", green: "#24693f", yellow: "#7a5300", blue: "#12507b", magenta: "#7b2d7f", cyan: "#0d6670", white: "#52616e",
  brightBlack: "#52616e", brightRed: "#b8282c", brightGreen: "#2f7d4f", brightYellow: "#8a5a0b", brightBlue: "#1b6ca8", brightMagenta: "#93409a", brightCyan: "#147a85", brightWhite: "#32414e",
};
const DARK = {
  background: "#191b20", foreground: "#e8eaee", cursor: "#9db0ff", cursorAccent: "#191b20", selectionBackground: "#2c4d66",
  black: "#7f8e9a", red: "#ff9d97", green: "#6fc391", yellow: "#e6b45c", blue: "#7cc4f2", magenta: "#dca0e0", cyan: "#6fd0d8", white: "#d5dde4",
  brightBlack: "#a3b3c0", brightRed: "#ffb8b3", brightGreen: "#93dcb0", brightYellow: "#f3cd86", brightBlue: "#a5d8fa", brightMagenta: "#ebc2ee", brightCyan: "#9ae3e9", brightWhite: "#ffffff",
};

const system = matchMedia("(prefers-color-scheme: dark)");

export function colours(): typeof DARK {
  const chosen = document.documentElement.dataset.theme;
  return (chosen ? chosen === "dark" : system.matches) ? DARK : LIGHT;
}

/** Calls back when the scheme of the page changes; returns what ends it. */
export function onScheme(changed: () => void): () => void {
  const watch = new MutationObserver(changed);
  watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  system.addEventListener("change", changed);
  return () => (watch.disconnect(), system.removeEventListener("change", changed));
}
