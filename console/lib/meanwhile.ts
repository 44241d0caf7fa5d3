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

/** Reads the row anew after a conflict; false if its version has stayed, as after a conflict of another kind. */
async function caughtUp(row: Edits, begun: { version: number | undefined }): Promise<boolean> {
  row.again();
  for (let turn = 0; turn < PATIENCE && row.version() === begun.version; turn++) await new Promise((done) => setTimeout(done, 100));
  if (row.version() === begun.version) return false;
  begun.version = row.version();
  return true;
}

/** Sends a form from the version on which it was opened. If somebody else has changed the row, the person is told; sent again, the form replaces it. */
export async function sendForm(row: Edits, begun: { version: number | undefined }, save: (version: number | undefined) => Promise<unknown>): Promise<void> {
  try {
    await save(begun.version);
  } catch (error) {
    if (reasonOf(error as Error).kind === "conflict" && (await caughtUp(row, begun))) throw new Error(texts.acts.meanwhileForm);
    throw error;
  }
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
    if (!(await caughtUp(row, begun))) throw error;
    if (edit.value() === begun.value) return sendFrom(row, edit);
    begun.value = edit.value();
    throw new Error(texts.acts.meanwhile(edit.shown()));
  }
}
