import type { TaskOfGraphFragment } from "../../generated/types";

export type Task = TaskOfGraphFragment;
export interface Placed {
  task: Task;
  x: number;
  y: number;
  column: number;
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
  width: number;
  height: number;
}

/** Pixels of a task, between tasks, and around them. */
export const SIZE = { width: 232, height: 64, across: 52, down: 16, around: 20 };
const ROWS = 8; // of tasks without any dependency, before a column begins

/** How many tasks stand before each one, at most, on a way to it. A circle ends where it meets itself. */
function depthsOf(tasks: readonly Task[], at: ReadonlyMap<string, number>): number[] {
  const depths = tasks.map(() => -1);
  const open = new Set<number>();
  // Without recursion: a chain may be as long as a mission.
  for (const root of tasks.keys()) {
    const stack = [root];
    while (stack.length) {
      const one = stack.at(-1)!;
      const known = tasks[one]!.dependsOn.flatMap((id) => at.get(id) ?? []);
      const next = open.has(one) ? undefined : known.filter((other) => depths[other]! < 0 && !open.has(other));
      open.add(one);
      if (depths[one]! < 0 && next?.length) stack.push(...next);
      else {
        stack.pop();
        if (depths[one]! < 0) depths[one] = Math.max(-1, ...known.map((other) => depths[other]!)) + 1;
      }
    }
  }
  return depths;
}

/** A column for each depth. In it the tasks stand at the height of those that they wait for, so that few edges cross. */
export function layoutOf(tasks: readonly Task[]): Layout {
  const at = new Map(tasks.map(({ id }, index) => [id, index]));
  const depths = depthsOf(tasks, at);
  const needed = new Set(tasks.flatMap(({ dependsOn }) => dependsOn));
  const alone = tasks.map((task) => !task.dependsOn.some((id) => at.has(id)) && !needed.has(task.id));
  const columns: number[][] = [];
  for (const [index, depth] of depths.entries()) if (!alone[index]) (columns[depth] ??= []).push(index);
  const rowOf = new Map<number, number>();
  for (const column of columns) {
    const wish = (index: number): number => {
      const rows = tasks[index]!.dependsOn.flatMap((id) => rowOf.get(at.get(id) ?? -1) ?? []);
      return rows.length ? rows.reduce((sum, row) => sum + row, 0) / rows.length : 0;
    };
    const wishes = new Map(column.map((index) => [index, wish(index)]));
    column.sort((one, other) => wishes.get(one)! - wishes.get(other)! || one - other);
    let free = 0;
    // Each as near to its wish as those above it leave room.
    for (const index of column) {
      const row = Math.max(free, Math.round(wishes.get(index)!));
      rowOf.set(index, row);
      free = row + 1;
    }
  }
  const above = Math.max(0, ...[...rowOf.values()].map((row) => row + 1));
  const lonely = tasks.flatMap((_, index) => (alone[index] ? [index] : []));
  const wide = Math.max(columns.length, Math.ceil(lonely.length / ROWS), 1);
  const columnOf = new Map(lonely.map((index, number) => [index, number % wide]));
  for (const [number, index] of lonely.entries()) rowOf.set(index, above + Math.floor(number / wide));
  for (const [depth, column] of columns.entries()) for (const index of column) columnOf.set(index, depth);

  const inOrder = [...tasks.keys()].sort((one, other) => Number(alone[one]) - Number(alone[other]) || (alone[one] ? 0 : columnOf.get(one)! - columnOf.get(other)!) || rowOf.get(one)! - rowOf.get(other)! || columnOf.get(one)! - columnOf.get(other)!);
  const place = new Map(inOrder.map((index, number) => [tasks[index]!.id, number]));
  const placed = inOrder.map((index): Placed => {
    const column = columnOf.get(index)!;
    const x = SIZE.around + column * (SIZE.width + SIZE.across);
    const y = SIZE.around + rowOf.get(index)! * (SIZE.height + SIZE.down);
    return { task: tasks[index]!, x, y, column, before: tasks[index]!.dependsOn.flatMap((id) => place.get(id) ?? []) };
  });
  const edges = placed.flatMap(({ x, y, before }, to) =>
    before.map((from): Edge => {
      const startX = placed[from]!.x + SIZE.width;
      const startY = placed[from]!.y + SIZE.height / 2;
      const endY = y + SIZE.height / 2;
      const bend = Math.max(24, (x - startX) / 2);
      return { from, to, path: `M${startX} ${startY}C${startX + bend} ${startY} ${x - bend} ${endY} ${x} ${endY}` };
    }),
  );
  const right = Math.max(0, ...placed.map(({ x }) => x + SIZE.width));
  const bottom = Math.max(0, ...placed.map(({ y }) => y + SIZE.height));
  return { placed, edges, width: right + SIZE.around, height: bottom + SIZE.around };
}
