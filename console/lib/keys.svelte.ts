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
  // What was added last is nearest to the person.
  for (const group of groups.toReversed()) {
    for (const key of group) {
      if (key.keys !== name) continue;
      if (!key.always && (typing(event.target) || dialog || (name === "Enter" && pressing(event.target)))) continue;
      event.preventDefault();
      key.run(event);
      return;
    }
  }
}

addEventListener("keydown", pressed);

/** Keys that work while a component is shown. */
export function keys(group: Key[]): void {
  onMount(() => {
    groups.push(group);
    return () => {
      const at = groups.findIndex((one) => one === group || one[0]?.run === group[0]?.run);
      if (at >= 0) groups.splice(at, 1);
    };
  });
}
