import { notices } from "../../../lib/notices.svelte";
import { resources } from "../../../lib/texts.resources";

/** Says how a test went. What the other side answers is text. */
export function sayTest(result: { valid: boolean; error: string | null } | null): void {
  const says = resources.tested;
  if (result) notices.say([result.valid ? says.good : says.bad, result.error].filter(Boolean).join(": "), { bad: !result.valid });
}
