import { DoorPasskey } from "../../generated/DoorPasskey";
import { DoorPasskeyStart } from "../../generated/DoorPasskeyStart";
import { DoorToken } from "../../generated/DoorToken";
import { doors } from "../texts.doors";
import { Refusal, send } from "./send";

/** Whether this browser has passkeys for this place: it must be a secure one, and have a name. */
export const browserHasPasskeys = (): boolean => "PublicKeyCredential" in globalThis && "parseRequestOptionsFromJSON" in PublicKeyCredential && !/^[\d.]+$|^\[/.test(location.hostname);

export const newCsrfToken = async (): Promise<string> => (await send(DoorToken, {})).csrfToken!.csrfToken;

/** `csrfToken`: of the sign-in by password that this goes on with; alone it begins with one of its own. */
export async function signInWithPasskey(csrfToken?: string): Promise<void> {
  const token = csrfToken ?? (await newCsrfToken());
  const { options } = (await send(DoorPasskeyStart, { input: { csrfToken: token } })).startPasskeySignIn!;
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options as PublicKeyCredentialRequestOptionsJSON);
  let credential: unknown;
  try {
    credential = ((await navigator.credentials.get({ publicKey })) as PublicKeyCredential).toJSON();
  } catch {
    // Browsers do not tell pages whether somebody declined or nothing was there.
    throw new Refusal(doors.login.declined);
  }
  await send(DoorPasskey, { input: { csrfToken: token, credential } });
}
