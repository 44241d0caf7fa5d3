import { ACTS } from "../generated/acts";
import { SCREENS } from "../screens";
import type { Here } from "./here.svelte";
import type { Listed } from "./listed";
import { router } from "./router.svelte";
import { texts } from "./texts";

/** What a person may do: here, or at the screen that has its form. */
export interface Deed {
  operation: string;
  text: string;
  /** The title of the screen. */
  at: string;
  /** It can be done on the screen that is shown. */
  here: boolean;
  run: () => void;
}

/** Acts that no screen has: their form is made of the input of the operation. */
export type Operate = (operation: string) => void;

const PATIENCE = 5_000; // milliseconds until a screen shows its acts

/** What opens the form of an operation, or does it, on the screen that is shown. */
function shown(operation?: string): HTMLElement[] {
  const is = operation ? `="${operation}"` : "";
  const all = document.querySelectorAll<HTMLElement>(`#content :is([data-opens${is}], [data-act${is}]):not(:disabled)`);
  return [...all].filter((one) => one.offsetParent);
}

/** One of several rows is chosen by the person. */
function begin([first, second]: HTMLElement[]): void {
  first?.focus();
  if (!second) first?.click();
}

/** Opens a form as soon as the screen is there; what needs no form waits for the person. */
function beginSoon(operation: string, until = Date.now() + PATIENCE): void {
  const [first] = shown(operation);
  if (first) {
    first.focus();
    if (first.dataset.opens) first.click();
  } else if (Date.now() < until) setTimeout(() => beginSoon(operation, until), 50);
}

/** The screen with the form, without the parts of its address that only a person can choose. */
function screenOf(documents: readonly string[]): Listed | undefined {
  const has = SCREENS.filter(({ document }) => document && documents.some((id) => document.documentId.startsWith(id)));
  const found = has.find(({ path }) => !path.includes(":")) ?? has[0];
  if (!found?.path.includes(":")) return found;
  const above = found.path.slice(0, found.path.indexOf("/:"));
  return SCREENS.find(({ path }) => path === above) ?? SCREENS.find(({ icon, section }) => icon && section === found.section);
}

/** Everything that the viewer may do, from the operations that the service names. What the screen has comes first. */
export function deedsOf(at: Here, operate: Operate): Deed[] {
  const here = new Set(shown().map(({ dataset }) => dataset.opens ?? dataset.act));
  const all = Object.entries(ACTS).flatMap(([operation, [text, ...documents]]): Deed[] => {
    if (!at.may(operation)) return [];
    if (!documents.length) return [{ operation, text, at: texts.palette.form, here: false, run: () => operate(operation) }];
    const screen = screenOf(documents);
    if (!screen) return [];
    const away = () => (router.go(router.to(screen.path)), beginSoon(operation));
    return [{ operation, text, at: screen.title, here: here.has(operation), run: here.has(operation) ? () => begin(shown(operation)) : away }];
  });
  return all.sort((a, b) => Number(b.here) - Number(a.here));
}
