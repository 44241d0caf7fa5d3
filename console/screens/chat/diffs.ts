const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** What a tool changes in a file, as a diff, if its input names the text before and after; undefined for other input. */
export function diffOf(input: unknown): string | undefined {
  if (input === null || typeof input !== "object" || Array.isArray(input)) return undefined;
  const given = input as Record<string, unknown>;
  const before = text(given.old_string) ?? text(given.old_str) ?? text(given.old_text);
  const after = text(given.new_string) ?? text(given.new_str) ?? text(given.new_text);
  if (before === undefined || after === undefined) return undefined;
  const path = text(given.file_path) ?? text(given.path) ?? "";
  const [old, made] = [before.split("\n"), after.split("\n")];
  const least = Math.min(old.length, made.length);
  let head = 0;
  while (head < least && old[head] === made[head]) head++;
  let tail = 0;
  while (tail < least - head && old[old.length - 1 - tail] === made[made.length - 1 - tail]) tail++;
  const changed = [
    ...old.slice(0, head).map((line) => ` ${line}`),
    ...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...made.slice(head, made.length - tail).map((line) => `+${line}`),
    ...old.slice(old.length - tail, old.length).map((line) => ` ${line}`),
  ];
  return [`--- ${path}`, `+++ ${path}`, ...changed].join("\n");
}
