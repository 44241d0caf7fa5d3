import type { TaskOfGraphFragment } from "../../generated/types";
import { scaleOf, spanOf, ticksOf, type Break, type Size, type Span } from "./scale";

export type Task = TaskOfGraphFragment;
export interface Placed {
  task: Task;
  /** When it ran; nothing: it is planned. */
  span: Span | undefined;
  x: number;
  y: number;
  width: number;
  row: number;
  /** Pixels of the time that it took. */
  long: number;
  /** Places in the list of the tasks that it waits for. */
  before: number[];
}
export interface Edge {
  path: string;
  from: number;
  to: number;
}
export interface Layout {
  /** In the order of work: each task after those that it waits for. */
  placed: readonly Placed[];
  edges: readonly Edge[];
  ticks: readonly { x: number; text: string }[];
  breaks: readonly Break[];
  /** Where the tasks that have not begun stand, and the line before them: now, or the end. */
  planned: number | undefined;
  line: number | undefined;
  width: number;
  height: number;
}

/** From far to near: marks, titles, cards, and cards that show how long each task took. */
export const ZOOMS: readonly Size[] = [
  { width: 28, height: 24, across: 16, down: 6 },
  { width: 72, height: 28, across: 22, down: 8 },
  { width: 136, height: 32, across: 32, down: 10 },
  { width: 224, height: 64, across: 48, down: 14 },
  { width: 360, height: 64, across: 56, down: 14 },
  { width: 640, height: 64, across: 56, down: 14 },
];
export const NEAR = 3;
const AROUND = 20;
const ROWS = 12; // of planned tasks, before a column begins

/** How many tasks stand before each one, at most, on a way to it. A circle ends where it meets itself. */
function depthsOf(before: readonly (readonly number[])[]): number[] {
  const depths = before.map(() => -1);
  const open = new Set<number>();
  // Without recursion: a chain may be as long as a mission.
  for (const root of before.keys()) {
    const stack = [root];
    while (stack.length) {
      const one = stack.at(-1)!;
      const next = open.has(one) ? undefined : before[one]!.filter((other) => depths[other]! < 0 && !open.has(other));
      open.add(one);
      if (depths[one]! < 0 && next?.length) stack.push(...next);
      else {
        stack.pop();
        if (depths[one]! < 0) depths[one] = Math.max(-1, ...before[one]!.map((other) => depths[other]!)) + 1;
      }
    }
  }
  return depths;
}

/** Tasks that ran stand at their time; those that have not begun stand behind it, in the order of their dependencies. A path keeps its row. */
export function layoutOf(tasks: readonly Task[], now: number, goesOn: boolean, size: Size): Layout {
  const at = new Map(tasks.map(({ id }, index) => [id, index]));
  const before = tasks.map(({ dependsOn }) => dependsOn.flatMap((id) => at.get(id) ?? []));
  const spans = tasks.map((task) => spanOf(task, now));
  const scale = scaleOf(spans, before, goesOn ? now : undefined, size, AROUND);
  const x = tasks.map(() => 0);
  const right = tasks.map(() => 0);
  const row = new Map<number, number>();
  const rights: number[] = []; // of the rows
  for (const index of inTime(spans)) {
    const span = spans[index]!;
    x[index] = scale!.of(span.from);
    // Room for the edges to what begins as it ends.
    right[index] = Math.max(x[index]! + size.width, scale!.of(span.to) - size.across / 2);
    const free = (one: number) => (rights[one] ?? -Infinity) + size.across / 2 <= x[index]!;
    const wished = before[index]!.filter((other) => row.has(other)).sort((one, other) => right[other]! - right[one]!).map((other) => row.get(other)!);
    const found = wished.find(free) ?? nearest(wished[0] ?? 0, rights.length, free);
    row.set(index, found);
    rights[found] = right[index]!;
  }
  const begin = scale ? scale.end + size.across / 2 : AROUND;
  place(before, spans, row, Math.max(ROWS, rights.length), (index, column) => {
    x[index] = begin + column * (size.width + size.across);
    right[index] = x[index]! + size.width;
  });

  const inOrder = [...tasks.keys()].sort((one, other) => Number(!spans[one]) - Number(!spans[other]) || x[one]! - x[other]! || row.get(one)! - row.get(other)!);
  const number = new Map(inOrder.map((index, number) => [index, number]));
  const placed = inOrder.map((index): Placed => {
    const span = spans[index];
    const y = AROUND + row.get(index)! * (size.height + size.down);
    const long = span ? scale!.of(span.to) - x[index]! : 0;
    return { task: tasks[index]!, span, x: x[index]!, y, width: right[index]! - x[index]!, row: row.get(index)!, long, before: before[index]!.map((other) => number.get(other)!) };
  });
  const waits = placed.some(({ span }) => !span);
  return {
    placed,
    edges: edgesOf(placed, size),
    ticks: scale ? ticksOf(scale, goesOn ? scale.end : Infinity) : [],
    breaks: scale?.breaks ?? [],
    planned: waits ? begin : undefined,
    line: scale && (goesOn || waits) ? scale.end : undefined,
    width: Math.max(scale?.end ?? 0, ...right) + AROUND * 2,
    height: Math.max(0, ...placed.map(({ y }) => y + size.height)) + AROUND,
  };
}

const inTime = (spans: readonly (Span | undefined)[]): number[] =>
  [...spans.keys()].filter((index) => spans[index]).sort((one, other) => spans[one]!.from - spans[other]!.from || one - other);

function nearest(wish: number, rows: number, free: (row: number) => boolean): number {
  for (let away = 0; away <= rows; away++) for (const one of [wish + away, wish - away]) if (one >= 0 && one < rows && free(one)) return one;
  return rows;
}

/** A column for each depth. In it the tasks stand at the height of those that they wait for, so that few edges cross. */
function place(before: readonly (readonly number[])[], spans: readonly (Span | undefined)[], row: Map<number, number>, most: number, put: (index: number, column: number) => void): void {
  const needed = new Set(before.flat());
  const waiting = before.map((others, index) => (spans[index] ? [] : others.filter((other) => !spans[other])));
  const columns: number[][] = [];
  const alone: number[] = [];
  for (const [index, depth] of depthsOf(waiting).entries()) {
    if (spans[index]) continue;
    if (before[index]!.length || needed.has(index)) (columns[depth] ??= []).push(index);
    else alone.push(index);
  }
  let from = 0;
  let below = 0;
  for (const column of columns) {
    const wishes = new Map(column.map((index) => [index, mean(before[index]!.flatMap((other) => row.get(other) ?? []))]));
    column.sort((one, other) => wishes.get(one)! - wishes.get(other)! || one - other);
    let free = 0;
    for (const [number, index] of column.entries()) {
      // Each as near to its wish as the others leave room; more than a column holds stand in several.
      const fits = column.length <= most;
      const found = fits ? Math.max(free, Math.min(Math.round(wishes.get(index)!), most - column.length + number)) : number % most;
      row.set(index, found);
      put(index, from + (fits ? 0 : Math.floor(number / most)));
      free = found + 1;
      below = Math.max(below, free);
    }
    from += Math.ceil(column.length / most);
  }
  // Tasks without any dependency stand below the others, in a block.
  const wide = Math.max(from, Math.ceil(alone.length / most), 1);
  for (const [number, index] of alone.entries()) {
    row.set(index, below + Math.floor(number / wide));
    put(index, number % wide);
  }
}

const mean = (numbers: readonly number[]): number => (numbers.length ? numbers.reduce((sum, one) => sum + one, 0) / numbers.length : 0);

const edgesOf = (placed: readonly Placed[], size: Size): Edge[] =>
  placed.flatMap(({ x, y, before }, to) =>
    before.map((from): Edge => {
      const startX = placed[from]!.x + placed[from]!.width;
      const startY = placed[from]!.y + size.height / 2;
      const endY = y + size.height / 2;
      const bend = Math.max(size.across / 2, (x - startX) / 2);
      return { from, to, path: `M${startX} ${startY}C${startX + bend} ${startY} ${x - bend} ${endY} ${x} ${endY}` };
    }),
  );

/** The task to which an arrow leads: along the edges to the sides, to the nearest one up and down. */
export function beside(placed: readonly Placed[], from: number, key: string): number | undefined {
  const here = placed[from];
  if (!here) return undefined;
  const far = ({ x, y }: Placed) => Math.abs(y - here.y) + 2 * Math.abs(x - here.x);
  const first = (found: number[]) => found.sort((one, other) => far(placed[one]!) - far(placed[other]!))[0];
  const all = [...placed.keys()];
  if (key === "ArrowLeft") return first([...here.before]);
  if (key === "ArrowRight") return first(all.filter((one) => placed[one]!.before.includes(from)));
  if (key === "ArrowUp") return first(all.filter((one) => placed[one]!.row < here.row));
  if (key === "ArrowDown") return first(all.filter((one) => placed[one]!.row > here.row));
  return undefined;
}
