import { doors } from "../texts.doors";
import type { Refusal } from "./send";

const plain = (name: string): string => name.split(".")[0]!.replaceAll("_", "").toLowerCase();
type Control = HTMLInputElement | HTMLTextAreaElement;

/** What is wrong with the fields of a form, by their names; empty if the refusal is about none of them. */
export function faultsOf(form: HTMLFormElement, { fields, message }: Pick<Refusal, "fields" | "message">): Record<string, string> {
  const controls = [...form.elements].filter((one): one is Control => "name" in one && !!one.name && "validity" in one && one.tagName !== "BUTTON");
  const told = new Map(Object.entries(fields).map(([name, text]) => [plain(name), text]));
  if (!controls.some(({ name }) => told.has(plain(name)))) {
    // Some refusals name the field in their text alone.
    const meant = controls.find(({ dataset }) => dataset.about && message.toLowerCase().startsWith(`${dataset.about} `));
    if (!meant) return {};
    told.set(plain(meant.name), message);
  }
  // The server ends at the first rule that is broken; what the form demands of its fields is known here.
  const found = controls.map((one) => [one, told.get(plain(one.name)) ?? lacks(one)] as const).filter(([, text]) => text);
  return Object.fromEntries(found.map(([one, text]) => [one.name, sentence(one, text)]));
}

/** What the form itself demands of a field, and is not so. */
function lacks({ validity, minLength }: Control): string {
  if (validity.valueMissing) return doors.lacks.value;
  if (validity.tooShort) return doors.lacks.length(minLength);
  return validity.typeMismatch ? doors.lacks.email : "";
}

/** What is said of a field, with its name if the text is the rest of a sentence. */
function sentence(control: Control, text: string): string {
  const name = control.labels?.[0]?.textContent?.trim();
  const whole = name && /^[a-z]/.test(text) ? `${name}${/^(must|has|is|may|cannot|does)\b/.test(text) ? "" : ":"} ${text}` : text;
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
