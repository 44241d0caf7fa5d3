import { AccountPasskeyAdd } from "../../generated/AccountPasskeyAdd";
import { AccountPasskeyStart } from "../../generated/AccountPasskeyStart";
import { change } from "../../lib/client";
import { texts } from "../../lib/texts";

/** Whether this browser has passkeys for this place: it must be a secure one, and have a name. */
export const browserHasPasskeys = (): boolean => "PublicKeyCredential" in globalThis && "parseCreationOptionsFromJSON" in PublicKeyCredential && !/^[\d.]+$|^\[/.test(location.hostname);

export async function register(name: string): Promise<void> {
  const { startPasskeyRegistration } = await change(AccountPasskeyStart, {});
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(startPasskeyRegistration!.options as PublicKeyCredentialCreationOptionsJSON);
  const credential = await asked(() => navigator.credentials.create({ publicKey }));
  await change(AccountPasskeyAdd, { input: { name, credential } });
}

/** What the authenticator says. Browsers do not tell pages whether somebody declined or nothing was there. */
async function asked(ceremony: () => Promise<Credential | null>): Promise<unknown> {
  try {
    return ((await ceremony()) as PublicKeyCredential).toJSON();
  } catch (error) {
    throw new Error((error as Error).name === "InvalidStateError" ? texts.account.passkeyKnown : texts.account.passkeyDeclined);
  }
}
