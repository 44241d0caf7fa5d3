import { doors } from "../../lib/texts.doors";

const { refusals, wrong, failed, failedBy } = doors.login;

export function signInRefusal(code: string | null | undefined): string {
  if (code === "CredentialsSignin") return wrong;
  if (code && Object.hasOwn(refusals, code)) return refusals[code]!;
  // The code may come from the address, where anybody can put a sentence.
  return code && /^[A-Za-z_]{1,40}$/.test(code) ? failedBy(code) : failed;
}
