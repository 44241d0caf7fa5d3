import { Refusal, call, graphql } from "./api.js";
import { newCsrfToken, signInWithPasskey } from "./passkeys.js";

const VIEWER = "query Viewer { viewer { id email fullName workspaces { id name slug } } }";
const SETUP = "query Setup { setupStatus { needsBootstrap allowSignup } signInProviders { name startUrl } }";

/** Who is signed in, with the workspaces; null where nobody is. */
export async function whoAmI() {
  try {
    return (await graphql(VIEWER, {}, { quiet: true })).viewer;
  } catch (error) {
    if (error.extensions?.code === "UNAUTHENTICATED") return null;
    throw error;
  }
}

/** What a newcomer finds: `needsBootstrap`, `allowSignup`, and the `providers` to sign in with. */
export async function readSetup() {
  const { setupStatus, signInProviders } = await graphql(SETUP);
  return { ...setupStatus, providers: signInProviders };
}

/** Cookies of a browser are set and cleared by these routes alone. */
export async function signIn(email, password) {
  const csrfToken = await newCsrfToken();
  const answer = await call("POST", "/api/auth/callback/credentials", { email, password, csrfToken, redirect: "false" });
  if (answer.passkey_required) await signInWithPasskey(csrfToken);
  else if (answer.error || !answer.ok) throw new Refusal(200, signInRefusal(answer.error));
}

export const signOut = () => call("POST", "/api/auth/signout");

const REFUSALS = {
  CredentialsSignin: "Email or password is wrong.",
  PasskeyRequired: "The password alone is not enough: sign in with your passkey.",
  OAuthSignin: "The provider cannot be reached. Try again later.",
  OAuthCallback: "The provider did not finish the sign-in. Try again.",
  AccessDenied: "The provider or this server does not admit this account.",
  OAuthAccountNotLinked: "Your account here cannot be linked to the one of the provider. Sign in with your password.",
  OAuthCreateAccount: "You have no account here, and this server does not create one.",
};

export function signInRefusal(code) {
  // the code may come from the address, where anybody can put a sentence
  return REFUSALS[code] ?? (/^[A-Za-z_]{1,40}$/.test(code) ? `Signing in failed (${code}).` : "Signing in failed.");
}

/** The way to the sign-in, and back here. */
export function signInFirst(path = location.pathname + location.search) {
  location.replace(`/login?callbackUrl=${encodeURIComponent(path)}`);
}
