import { reasonOf } from "./client";
import { notices } from "./notices.svelte";
import { texts } from "./texts";

/**
 * Does something and says how it went. A function that `run` returns takes it back: the notice then offers to undo. Returns whether it was done.
 */
export async function attempt(name: string, run: () => Promise<unknown>, done?: string): Promise<boolean> {
  const failed = (error: unknown, what: string) => {
    const { message, requires } = reasonOf(error as Error);
    notices.say(texts.states.failed(what, requires ? texts.states.requires(requires) : message), { bad: true });
  };
  try {
    const back = await run();
    const undo = typeof back === "function" ? () => void Promise.resolve(back()).catch((error) => failed(error, texts.acts.undo)) : undefined;
    if (done || undo) notices.say(done ?? name, { undo });
    return true;
  } catch (error) {
    failed(error, name);
    return false;
  }
}
