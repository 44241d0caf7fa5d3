const NAME = "found";
const PATIENCE = 2_000; // milliseconds in which a message gets its elements
const MOST = 500;

export const lift = (): void => void CSS.highlights?.delete(NAME);

/** Where the words stand in the texts below an element, without a change of its elements. */
function rangesIn(element: Element, sought: string): Range[] {
  const found: Range[] = [];
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node && found.length < MOST; node = texts.nextNode()) {
    if (node.parentElement?.closest(".unseen, .who")) continue;
    const text = (node.nodeValue ?? "").toLowerCase();
    for (let at = text.indexOf(sought); at >= 0 && at + sought.length <= (node.nodeValue ?? "").length; at = text.indexOf(sought, at + sought.length)) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + sought.length);
      found.push(range);
    }
  }
  return found;
}

let turn = 0;

/** Marks the words in a message, and brings them into sight, once it is drawn. */
export function mark(id: string, text: string): void {
  const mine = ++turn;
  const end = Date.now() + PATIENCE;
  lift();
  const look = () => {
    if (mine !== turn) return;
    const message = document.querySelector(`[data-message="${CSS.escape(id)}"]`);
    const ranges = message ? rangesIn(message, text.toLowerCase()) : [];
    if (!ranges.length && Date.now() < end) return void requestAnimationFrame(look);
    if (ranges.length) CSS.highlights?.set(NAME, new Highlight(...ranges));
    (ranges[0]?.startContainer.parentElement ?? message)?.scrollIntoView({ block: "center" });
  };
  requestAnimationFrame(look);
}
