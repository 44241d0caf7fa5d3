import { router } from "../../lib/router.svelte";
import { texts } from "../../lib/texts";

/** The parts of the page, as tabs. */
export const tabsOf = (id: string) => Object.entries(texts.agent.parts).map(([name, text]) => ({ name, text, href: router.to(`agents/${id}/${name}`) }));
