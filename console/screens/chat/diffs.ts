type Input = Record<string, unknown>;

/** The first of these that is a text: tools name the same thing in their own ways. */
function named(given: Input, ...names: string[]): string | undefined {
  const found = names.map((name) => given[name]).find((value) => typeof value === "string");
  return found as string | undefined;
}

/** What a tool changes in a file, as a diff, if its input says so; undefined for other input. */
export function diffOf(input: unknown): string | undefined {
  if (input === null || typeof input !== "object" || Array.isArray(input)) return undefined;
  const given = input as Input;
  const patch = named(given, "patch", "patchText", "patch_text", "diff");
  if (patch !== undefined) return patch;
  const path = named(given, "file_path", "filePath", "path") ?? "";
  const edits = Array.isArray(given.edits) ? (given.edits as unknown[]) : [given];
  const changes = edits.map((one) => (one !== null && typeof one === "object" ? changeOf(one as Input) : undefined));
  if (changes.every((change) => change !== undefined) && changes.length) return [`--- ${path}`, `+++ ${path}`, ...changes.flat()].join("\n");
  const content = named(given, "content", "contents");
  return path && content !== undefined ? [`+++ ${path}`, ...linesOf(content).map((line) => `+${line}`)].join("\n") : undefined;
}

const linesOf = (text: string): string[] => text.replace(/\n$/, "").split("\n");

function changeOf(given: Input): string[] | undefined {
  const before = named(given, "old_string", "old_str", "old_text", "oldString", "oldText");
  const after = named(given, "new_string", "new_str", "new_text", "newString", "newText");
  if (before === undefined || after === undefined) return undefined;
  const [old, made] = [before.split("\n"), after.split("\n")];
  const least = Math.min(old.length, made.length);
  let head = 0;
  while (head < least && old[head] === made[head]) head++;
  let tail = 0;
  while (tail < least - head && old[old.length - 1 - tail] === made[made.length - 1 - tail]) tail++;
  return [
    ...old.slice(0, head).map((line) => ` ${line}`),
    ...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...made.slice(head, made.length - tail).map((line) => `+${line}`),
    ...old.slice(old.length - tail).map((line) => ` ${line}`),
  ];
}
