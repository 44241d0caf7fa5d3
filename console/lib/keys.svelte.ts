import { onMount } from "svelte";

/** A key that does something here, for the page of keys. "mod+k" is ⌘K or Ctrl+K. */
export interface Key {
  keys: string;
  does: string;
  run: (event: KeyboardEvent) => void;
  /** Works while a person types, too. */
  always?: boolean;
}

const groups: Key[][] = $state([]);
/** Those that belong to no screen. */
const lasting = new WeakSet<Key[]>();
let arriving = false;
const ARRIVAL = 2_000; // milliseconds for which a key waits for the screen that is being loaded
let wanted: { name: string; until: number } | undefined;

export const knownKeys = (): { keys: string; does: string }[] => {
  const seen = new Set<string>();
  return groups.flat().filter(({ keys }) => !seen.has(keys) && seen.add(keys));
};

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
const pressing = (target: EventTarget | null): boolean => target instanceof HTMLElement && !!target.closest("button, a, summary, [role=menu]");

const nameOf = (event: KeyboardEvent): string => (event.metaKey || event.ctrlKey ? "mod+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);

function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  const dialog = document.querySelector("dialog[open]");
  const name = nameOf(event);
  // What was added last is nearest to the person. A screen that is being left takes nothing any more.
  for (const group of groups.toReversed()) {
    if (arriving && !lasting.has(group)) continue;
    for (const key of group) {
      if (key.keys !== name) continue;
      if (!key.always && (typing(event.target) || dialog || (name === "Enter" && pressing(event.target)))) continue;
      event.preventDefault();
      key.run(event);
      return;
    }
  }
  if (arriving && !typing(event.target) && !dialog && name.length === 1) wanted = { name, until: Date.now() + ARRIVAL };
}

/** Whether a screen is being loaded: it takes the key that is pressed meanwhile. */
export const arrives = (now: boolean): void => void (arriving = now);

addEventListener("keydown", pressed);

function pressSoon(key: Key): void {
  wanted = undefined;
  setTimeout(() => key.run(new KeyboardEvent("keydown", { key: key.keys })));
}

/** Keys that work while a component is shown; `lasts`: on every screen. */
export function keys(group: Key[], lasts = false): void {
  onMount(() => {
    groups.push(group);
    if (lasts) lasting.add(groups.at(-1)!);
    const key = wanted && wanted.until > Date.now() && group.find(({ keys }) => keys === wanted!.name);
    if (key) pressSoon(key);
    return () => {
      const at = groups.findIndex((one) => one === group || one[0]?.run === group[0]?.run);
      if (at >= 0) groups.splice(at, 1);
    };
  });
}
