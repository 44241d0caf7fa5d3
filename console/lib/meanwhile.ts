import { reasonOf } from "./client";
import type { Edits } from "./edits";
import { texts } from "./texts";

const PATIENCE = 30; // tenths of a second for the change of somebody else to be read

interface Edit {
  /** The value and the version that a person has begun from. */
  begun: { value: string; version: number | undefined };
  value: () => string;
  shown: () => string;
  save: () => Promise<unknown>;
}

/** Sends a change from a version. If somebody else has changed another part of the row, it is sent once more; if the same, the other value is told. */
export async function sendFrom(row: Edits, edit: Edit): Promise<void> {
  const { begun } = edit;
  row.based = begun.version;
  const sent = edit.save();
  row.based = undefined;
  try {
    await sent;
  } catch (error) {
    if (reasonOf(error as Error).kind !== "conflict") throw error;
    row.again();
    for (let turn = 0; turn < PATIENCE && row.version() === begun.version; turn++) await new Promise((done) => setTimeout(done, 100));
    if (row.version() === begun.version) throw error; // a conflict of another kind
    begun.version = row.version();
    if (edit.value() === begun.value) return sendFrom(row, edit);
    begun.value = edit.value();
    throw new Error(texts.acts.meanwhile(edit.shown()));
  }
}
