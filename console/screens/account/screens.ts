import { Account } from "../../generated/Account";
import { AccountSignIn } from "../../generated/AccountSignIn";
import { AccountTokens } from "../../generated/AccountTokens";
import { ActOn } from "../../generated/ActOn";
import { PushDevices } from "../../generated/PushDevices";
import { screen, type Listed } from "../../lib/listed";
import { texts } from "../../lib/texts";

const ofPerson = { variables: () => ({}) };

export const ACCOUNT: readonly Listed[] = [
  screen("account", texts.settings.account, () => import("./Account.svelte"), Account),
  screen("account/sign-in", texts.account.signIn, () => import("./SignIn.svelte"), AccountSignIn, ofPerson),
  screen("account/tokens", texts.tokens.title, () => import("./OwnTokens.svelte"), AccountTokens, ofPerson),
  screen("account/notifications", texts.push.title, () => import("../push/Notifications.svelte"), PushDevices),
  screen("act/:kind/:id", texts.act.title, () => import("../act/ActOn.svelte"), ActOn, { variables: (ws, _query, { kind, id }) => ({ ws, kind: [kind], id }) }),
];
