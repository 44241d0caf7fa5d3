import { Account } from "../../generated/Account";
import { AccountSignIn } from "../../generated/AccountSignIn";
import { AccountTokens } from "../../generated/AccountTokens";
import { ActOn } from "../../generated/ActOn";
import { PushDevices } from "../../generated/PushDevices";
import type { Known } from "../../lib/document";
import { texts } from "../../lib/texts";
import type { Listed } from "../../screens";

const known = (document: unknown) => document as Known<unknown, never>;

export const ACCOUNT: readonly Listed[] = [
  { name: "account", path: "account", title: texts.settings.account, load: () => import("./Account.svelte"), document: known(Account) },
  { name: "account/sign-in", path: "account/sign-in", title: texts.account.signIn, load: () => import("./SignIn.svelte"), document: known(AccountSignIn), variables: () => ({}) },
  { name: "account/tokens", path: "account/tokens", title: texts.tokens.title, load: () => import("./OwnTokens.svelte"), document: known(AccountTokens), variables: () => ({}) },
  { name: "account/notifications", path: "account/notifications", title: texts.push.title, load: () => import("../push/Notifications.svelte"), document: known(PushDevices) },
  { name: "act", path: "act/:kind/:id", title: texts.act.title, load: () => import("../act/ActOn.svelte"), document: known(ActOn), variables: (ws, { kind, id }) => ({ ws, kind: [kind], id }) },
];
