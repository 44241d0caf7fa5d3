import type { Known } from "./lib/document";
import type { Screen } from "./lib/router.svelte";
import { Mission } from "./generated/Mission";
import { Missions } from "./generated/Missions";
import { Now } from "./generated/Now";
import { Chats } from "./generated/Chats";
import { Conversation } from "./generated/Conversation";
import { Run } from "./generated/Run";
import { Runs } from "./generated/Runs";
import { texts } from "./lib/texts";
import { variablesOf as missionsOf } from "./screens/missions/filters";
import { COSTS } from "./screens/costs/screens";
import { CREWS } from "./screens/crews/screens";
import { ACCOUNT } from "./screens/account/screens";
import { SETTINGS } from "./screens/settings/screens";
import { ISSUES } from "./screens/issues/screens";
import { RESOURCES } from "./screens/resources/screens";
import { variablesOf as chatsOf } from "./screens/chat/filters";
import { variablesOf } from "./screens/runs/filters";

export interface Listed extends Screen {
  title: string;
  /** A key that leads there after "g", and the drawing of its icon. */
  letter?: string;
  icon?: string;
}

const known = (document: unknown) => document as Known<unknown, never>;

export const SCREENS: readonly Listed[] = [
  {
    name: "now",
    path: "",
    title: texts.now.title,
    letter: "n",
    icon: "M3 11.5h3.5l1.5 2.5h4l1.5-2.5H17M3 11.5V15a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3.5l-2.3-7A2 2 0 0 0 12.8 3H7.2a2 2 0 0 0-1.9 1.5L3 11.5Z",
    load: () => import("./screens/now/Now.svelte"),
    document: known(Now),
  },
  {
    name: "chat",
    path: "chat",
    keeps: "chat",
    title: texts.chat.title,
    letter: "h",
    icon: "M4 4h12v9H9l-4 3.5V13H4z",
    load: () => import("./screens/chat/Chat.svelte"),
    document: known(Chats),
    variables: (workspace, _parameters, query) => chatsOf(workspace, query),
  },
  {
    name: "chat/one",
    path: "chat/:id",
    keeps: "chat",
    title: texts.chat.one,
    load: () => {
      void import("./screens/chat/ConversationView.svelte");
      void import("./lib/Markdown.svelte");
      return import("./screens/chat/Chat.svelte");
    },
    document: known(Conversation),
    variables: (_workspace, { id }) => ({ id }),
  },
  ...CREWS,
  ...ISSUES,
  {
    name: "missions",
    path: "missions",
    title: texts.missions.title,
    letter: "m",
    icon: "M5 3v14M5 4h9l-2 3 2 3H5",
    load: () => import("./screens/missions/Missions.svelte"),
    document: known(Missions),
    variables: (workspace, _parameters, query) => missionsOf(workspace, query),
  },
  {
    name: "missions/mission",
    path: "missions/:id",
    title: texts.mission.title,
    load: () => import("./screens/mission/Mission.svelte"),
    document: known(Mission),
    variables: (ws, { id }) => ({ ws, id }),
  },
  {
    name: "runs",
    path: "runs",
    title: texts.runs.title,
    letter: "r",
    icon: "M3 5h8M3 10h14M7 15h10",
    load: () => import("./screens/runs/Runs.svelte"),
    document: known(Runs),
    variables: (workspace, _parameters, query) => variablesOf(workspace, query),
  },
  {
    name: "runs/run",
    path: "runs/:id",
    title: texts.runs.one,
    load: () => import("./screens/run/Run.svelte"),
    document: known(Run),
    variables: (ws, { id }) => ({ ws, id }),
  },
  ...COSTS,
  ...RESOURCES,
  ...SETTINGS,
  ...ACCOUNT,
];
