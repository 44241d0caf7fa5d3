import { Refusal, call, graphql } from "./api.js";

const START_SIGN_IN = "mutation Start($input: StartPasskeySignInInput!) { startPasskeySignIn(input: $input) { options } }";
const SIGN_IN = "mutation SignIn($input: PasskeySignInInput!) { signInWithPasskey(input: $input) { userId } }";
const START = "mutation Start { startPasskeyRegistration { options } }";
const REGISTER = "mutation Register($input: RegisterPasskeyInput!) { registerPasskey(input: $input) { id } }";

/** Whether this browser has passkeys for this place: it must be a secure one, and have a name. */
export const browserHasPasskeys = () => Boolean(globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON) && !/^[\d.]+$|^\[/.test(location.hostname);

export const newCsrfToken = async () => (await call("GET", "/api/auth/csrf")).csrfToken;

/** `csrfToken`: of the sign-in by password that this goes on with; alone it begins with one of its own. */
export async function signInWithPasskey(csrfToken) {
  const token = csrfToken ?? (await newCsrfToken());
  const { options } = (await graphql(START_SIGN_IN, { input: { csrfToken: token } })).startPasskeySignIn;
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await asked(() => navigator.credentials.get({ publicKey }));
  await graphql(SIGN_IN, { input: { csrfToken: token, credential } });
}

export async function registerPasskey(name) {
  const { options } = (await graphql(START)).startPasskeyRegistration;
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = await asked(() => navigator.credentials.create({ publicKey }));
  await graphql(REGISTER, { input: { name, credential } });
}

/** What the authenticator says. Browsers do not tell pages whether somebody declined or nothing was there. */
async function asked(ceremony) {
  try {
    return (await ceremony()).toJSON();
  } catch (error) {
    if (error.name === "InvalidStateError") throw new Refusal(0, "This device has a passkey for your account already.");
    throw new Refusal(0, "No passkey was used: it was declined, or took too long.");
  }
}
