import { notices } from "../../../lib/notices.svelte";
import { means } from "../../../lib/texts.means";

/** Says how a test went. What the other side answers is text. */
export function sayTest(result: { valid: boolean; error: string | null } | null): void {
  const says = means.tested;
  if (result) notices.say([result.valid ? says.good : says.bad, result.error].filter(Boolean).join(": "), { bad: !result.valid });
}
