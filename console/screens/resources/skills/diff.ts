const MOST = 1_500; // lines of each text that are compared

/** What changes between two texts, line by line, as a diff reads: "-" before, "+" after. */
export function diffOf(before: string, after: string, name: string): string {
  const old = before.split("\n").slice(0, MOST);
  const next = after.split("\n").slice(0, MOST);
  // The longest common part of what remains from each place on.
  const width = next.length + 1;
  const common = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = next.length - 1; j >= 0; j--) {
      common[i * width + j] = old[i] === next[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
    }
  }
  const lines = [`--- ${name}`, `+++ ${name}`];
  let i = 0;
  let j = 0;
  while (i < old.length || j < next.length) {
    if (i < old.length && j < next.length && old[i] === next[j]) {
      lines.push(` ${old[i++]}`);
      j++;
    } else if (j >= next.length || (i < old.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!)) lines.push(`-${old[i++]}`);
    else lines.push(`+${next[j++]}`);
  }
  return lines.join("\n");
}
