import { Mission } from "./generated/Mission";
import { Missions } from "./generated/Missions";
import { Now } from "./generated/Now";
import { Chats } from "./generated/Chats";
import { Conversation } from "./generated/Conversation";
import { Run } from "./generated/Run";
import { Runs } from "./generated/Runs";
import { screen, type Listed } from "./lib/listed";
import { texts } from "./lib/texts";
import { variablesOf as missionsOf } from "./screens/missions/filters";
import { COSTS } from "./screens/costs/screens";
import { CREWS } from "./screens/crews/screens";
import { ACCOUNT } from "./screens/account/screens";
import { SETTINGS } from "./screens/settings/screens";
import { ISSUES } from "./screens/issues/screens";
import { RESOURCES } from "./screens/resources/screens";
import { variablesOf as chatsOf } from "./screens/chat/filters";
import { variablesOf as runsOf } from "./screens/runs/filters";

const icons = {
  now: "M3 11.5h3.5l1.5 2.5h4l1.5-2.5H17M3 11.5V15a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3.5l-2.3-7A2 2 0 0 0 12.8 3H7.2a2 2 0 0 0-1.9 1.5L3 11.5Z",
  chat: "M4 4h12v9H9l-4 3.5V13H4z",
  missions: "M5 3v14M5 4h9l-2 3 2 3H5",
  runs: "M3 5h8M3 10h14M7 15h10",
};
const conversation = () => {
  void import("./screens/chat/ConversationView.svelte");
  void import("./lib/Markdown.svelte");
  return import("./screens/chat/Chat.svelte");
};

/** In the order of the navigation. */
export const SCREENS: readonly Listed[] = [
  screen("", texts.now.title, () => import("./screens/now/Now.svelte"), Now, { letter: "n", icon: icons.now }),
  screen("chat", texts.chat.title, () => import("./screens/chat/Chat.svelte"), Chats, { keeps: "chat", letter: "h", icon: icons.chat, variables: chatsOf }),
  screen("chat/:id", texts.chat.one, conversation, Conversation, { keeps: "chat", variables: (_ws, _query, { id }) => ({ id }) }),
  ...CREWS,
  ...ISSUES,
  screen("missions", texts.missions.title, () => import("./screens/missions/Missions.svelte"), Missions, { letter: "m", icon: icons.missions, variables: missionsOf }),
  screen("missions/:id", texts.mission.title, () => import("./screens/mission/Mission.svelte"), Mission),
  screen("runs", texts.runs.title, () => import("./screens/runs/Runs.svelte"), Runs, { letter: "r", icon: icons.runs, variables: runsOf }),
  screen("runs/:id", texts.runs.one, () => import("./screens/run/Run.svelte"), Run),
  ...COSTS,
  ...RESOURCES,
  ...SETTINGS,
  ...ACCOUNT,
];
