import { copy, make } from "./dom.js";

/**
 * What a model has written in Markdown, as elements: markup in it stays text, images are links, and links lead to web pages and mail
 * alone. The dialect is what models write: headings, lists, tables, quotes, code, emphasis; a line break is a line break.
 */
const FENCE = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})[ \t]*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:([ \t]+)(?=\S)|[ \t]*$)/;
const UNDERLINE = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const DEEPEST = 8; // of blocks in blocks, and of emphasis in emphasis
const BLANK = /^\s*$/;

/** A view of a text that grows at its end: what stands is left alone, the block that is still written is made anew. */
export class Markdown {
  #length = 0;
  #from = 0; // where what may still change begins
  #open = []; // { block, element } behind that place

  constructor() {
    this.element = make("div", { class: "answer" });
  }

  update({ text }) {
    if (text.length === this.#length) return;
    this.#length = text.length;
    const rest = text.slice(this.#from);
    const blocks = parse(rest);
    const views = blocks.map((block, at) => this.#show(block, this.#open[at]));
    for (const { element } of this.#open.slice(blocks.length)) element.remove();
    // a last line that has no end yet may turn out to go on with the block before it
    const last = blocks.at(-1);
    const kept = Math.max(0, blocks.length - (last && !rest.slice(last.start).includes("\n") ? 2 : 1));
    this.#open = views.slice(kept);
    if (blocks.length) this.#from += blocks[kept].start;
  }

  #show(block, before) {
    if (before?.block.kind === "code" && block.kind === "code" && block.language === before.block.language && block.text.startsWith(before.block.text)) {
      before.element.querySelector("code").firstChild.appendData(block.text.slice(before.block.text.length));
      return { block, element: before.element };
    }
    const element = render(block, 0);
    if (before) before.element.replaceWith(element);
    else this.element.append(element);
    return { block, element };
  }
}

// ---- blocks ---------------------------------------------------------------------------------------------------------

/** The blocks of a text, each with the place where it starts. */
export function parse(text) {
  const lines = text.split("\n");
  const blocks = [];
  let start = 0;
  for (let at = 0; at < lines.length; ) {
    if (BLANK.test(lines[at])) {
      start += lines[at].length + 1;
      at += 1;
      continue;
    }
    const [block, end] = take(lines, at);
    blocks.push({ ...block, start });
    for (; at < end; at += 1) start += lines[at].length + 1;
  }
  return blocks;
}

function take(lines, at) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return takeCode(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [{ kind: "heading", level: heading[1].length, text: heading[2] }, at + 1];
  if (RULE.test(line)) return [{ kind: "rule" }, at + 1];
  if (QUOTE.test(line)) return takeQuote(lines, at);
  if (ITEM.test(line)) return takeList(lines, at);
  if (isTable(lines, at)) return takeTable(lines, at);
  if (indent(line) >= 4) return takeIndented(lines, at);
  let end = at + 1;
  while (end < lines.length && !BLANK.test(lines[end]) && !interrupts(lines, end)) end += 1;
  return [{ kind: "paragraph", text: lines.slice(at, end).map((each) => each.trim()).join("\n") }, end];
}

const indent = (line) => /^[ \t]*/.exec(line)[0].replaceAll("\t", "    ").length;
const dedent = (line, most) => line.replace(/^[ \t]*/, (space) => " ".repeat(Math.max(0, space.replaceAll("\t", "    ").length - most)));

/** Whether a paragraph ends before this line. */
function interrupts(lines, at) {
  const line = lines[at];
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || Boolean(ITEM.exec(line)?.[3]) || isTable(lines, at);
}

function takeCode(lines, at, [, space, fence, language]) {
  const closes = new RegExp(`^ {0,3}[${fence[0]}]{${fence.length},}[ \\t]*$`);
  let end = at + 1;
  while (end < lines.length && !closes.test(lines[end])) end += 1;
  const text = lines.slice(at + 1, end).map((line) => dedent(line, Math.min(space.length, indent(line)))).join("\n");
  return [{ kind: "code", language, text }, Math.min(end + 1, lines.length)];
}

function takeIndented(lines, at) {
  let end = at + 1;
  while (end < lines.length && (BLANK.test(lines[end]) || indent(lines[end]) >= 4)) end += 1;
  return [{ kind: "code", language: "", text: lines.slice(at, end).map((line) => dedent(line, 4)).join("\n").trimEnd() }, end];
}

function takeQuote(lines, at) {
  let end = at + 1;
  while (end < lines.length && (QUOTE.test(lines[end]) || !(BLANK.test(lines[end]) || interrupts(lines, end)))) end += 1;
  return [{ kind: "quote", text: lines.slice(at, end).map((line) => line.replace(QUOTE, "")).join("\n") }, end];
}

function takeList(lines, at) {
  const [, , first] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(first);
  const items = [];
  let end = at;
  let width = 0;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const item = RULE.test(line) ? null : ITEM.exec(line);
    if (items.length && indent(line) >= Math.min(width, 2) && !BLANK.test(line)) items.at(-1).push(dedent(line, width));
    else if (item && item[2].at(-1) === first.at(-1)) {
      width = item[1].length + item[2].length + Math.min(item[3]?.length ?? 1, 4);
      items.push([line.slice(item[0].length)]);
    } else if (BLANK.test(line)) {
      const next = lines.slice(end + 1).find((each) => !BLANK.test(each));
      if (next === undefined || !(indent(next) >= Math.min(width, 2) || ITEM.exec(next)?.[2].at(-1) === first.at(-1))) break;
      items.at(-1).push("");
    } else if (lines[end - 1] && !BLANK.test(lines[end - 1]) && !item && !interrupts(lines, end)) items.at(-1).push(line.trim());
    else break;
  }
  return [{ kind: "list", ordered, from: ordered ? Number.parseInt(first, 10) : 1, items: items.map((item) => item.join("\n")) }, end];
}

const cellsOf = (line) => line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

const isTable = (lines, at) =>
  lines[at].includes("|") && at + 1 < lines.length && UNDERLINE.test(lines[at + 1]) && cellsOf(lines[at]).length === cellsOf(lines[at + 1]).length;

function takeTable(lines, at) {
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && !BLANK.test(lines[end])) end += 1;
  const sides = cellsOf(lines[at + 1]).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "end") : "start"));
  return [{ kind: "table", sides, head: cellsOf(lines[at]), rows: lines.slice(at + 2, end).map(cellsOf) }, end];
}

// ---- elements -------------------------------------------------------------------------------------------------------

const within = (text, depth) =>
  depth < DEEPEST ? parse(text).map((block) => render(block, depth + 1)) : [make("p", { text })];

function render(block, depth) {
  return RENDERED[block.kind](block, depth);
}

const RENDERED = {
  paragraph: ({ text }) => make("p", {}, ...inline(text)),
  heading: ({ level, text }) => make(`h${Math.min(6, level + 2)}`, {}, ...inline(text)), // the page has the two above
  rule: () => make("hr"),
  quote: ({ text }, depth) => make("blockquote", {}, ...within(text, depth)),
  list({ ordered, from, items }, depth) {
    const list = make(ordered ? "ol" : "ul", {}, ...items.map((text) => make("li", {}, ...within(ticked(text), depth))));
    if (ordered && from !== 1) list.start = from;
    return list;
  },
  table({ sides, head, rows }) {
    const row = (cells, tag) => make("tr", {}, ...head.map((_, at) => make(tag, { class: sides[at] }, ...inline(cells[at] ?? ""))));
    const table = make("table", {}, make("thead", {}, row(head, "th")), make("tbody", {}, ...rows.map((cells) => row(cells, "td"))));
    return make("div", { class: "table", tabIndex: 0, role: "region", "aria-label": "Table" }, table);
  },
  code({ language, text }) {
    const code = make("code", {}, document.createTextNode(text));
    const said = make("span", { role: "status" });
    const button = make("button", { type: "button", class: "quiet", text: "Copy" });
    button.onclick = () => copy(code, said);
    const head = make("div", { class: "head" }, make("span", { class: "language", text: language }), said, button);
    return make("div", { class: "code" }, head, make("pre", { tabIndex: 0 }, code));
  },
};

const ticked = (text) => text.replace(/^\[([ xX])\](?=\s)/, (_, tick) => (tick === " " ? "☐" : "☑"));

// ---- what stands in a line ------------------------------------------------------------------------------------------

const TOKEN = /\\([!-/:-@[-`{-~])|(`+)|(\*{1,3}|_{1,3}|~~)|(!?\[)|<((?:https?:\/\/|mailto:)[^\s<>]+)>|(https?:\/\/[^\s<>"`]+)/g;
const LINK = /\[((?:[^[\]\\]|\\.|\[[^[\]]{0,200}\]){0,1000})\]\([ \t]*(?:<([^<>\n]*)>|((?:[^\s()]|\([^\s()]*\))*))(?:[ \t]+(?:"[^"]*"|'[^']*'))?[ \t]*\)/y;
const DELIMITER = /\\.|(`+)|(\*+|_+|~~)/gs;
const PROTOCOLS = new Set(["http:", "https:", "mailto:"]);

/** The nodes of a text; of links in links the inner ones are text. */
function inline(text, depth = 0, linked = false) {
  if (depth > DEEPEST) return [document.createTextNode(text)];
  const nodes = [];
  const without = new Set(); // delimiters that nothing closes from here on
  let plain = "";
  const push = (...made) => {
    if (plain) nodes.push(document.createTextNode(plain));
    plain = "";
    nodes.push(...made);
  };
  const tokens = new RegExp(TOKEN);
  let at = 0;
  for (let token = tokens.exec(text); token; token = tokens.exec(text)) {
    plain += text.slice(at, token.index);
    const [whole, escaped, ticks, delimiter, bracket, angled, bare] = token;
    at = tokens.lastIndex;
    let end = 0; // behind what the token begins, where it begins something
    if (escaped) {
      plain += escaped;
      continue;
    } else if (ticks) {
      const close = without.has(ticks) ? -1 : closingTicks(text, at, ticks);
      if (close < 0) without.add(ticks);
      else {
        push(make("code", { text: text.slice(at, close).replace(/^ (.*\S.*) $/s, "$1") }));
        end = close + ticks.length;
      }
    } else if (delimiter) {
      const close = without.has(delimiter) || !opens(text, token.index, delimiter) ? -1 : closing(text, at, delimiter);
      if (close < 0) {
        if (opens(text, token.index, delimiter)) without.add(delimiter);
      } else {
        push(emphasis(delimiter, inline(text.slice(at, close), depth + 1, linked)));
        end = close + delimiter.length;
      }
    } else if (bracket) {
      LINK.lastIndex = token.index + bracket.length - 1;
      const link = LINK.exec(text);
      if (link) {
        end = LINK.lastIndex;
        const label = link[1] || (bracket === "![" ? "Image" : (link[2] ?? link[3]));
        push(...anchor(link[2] ?? link[3], inline(label, depth + 1, true), linked));
      }
    } else {
      const address = angled ?? trimmed(bare);
      push(...anchor(address, [document.createTextNode(address.replace(/^mailto:/, ""))], linked, true));
      end = angled ? at : token.index + address.length;
    }
    if (end) at = tokens.lastIndex = end;
    else plain += whole;
  }
  plain += text.slice(at);
  push();
  return nodes;
}

const opens = (text, at, delimiter) =>
  /\S/.test(text[at + delimiter.length] ?? " ") && !(delimiter[0] === "_" && /\w/.test(text[at - 1] ?? " "));

function closingTicks(text, from, ticks) {
  const runs = /`+/g;
  runs.lastIndex = from;
  for (let run = runs.exec(text); run; run = runs.exec(text)) if (run[0] === ticks) return run.index;
  return -1;
}

/** Where the same delimiter closes; code between is passed over. */
function closing(text, from, delimiter) {
  const found = new RegExp(DELIMITER);
  const without = new Set();
  found.lastIndex = from;
  for (let run = found.exec(text); run; run = found.exec(text)) {
    const [whole, ticks, other] = run;
    if (ticks && !without.has(ticks)) {
      const close = closingTicks(text, found.lastIndex, ticks);
      if (close < 0) without.add(ticks);
      else found.lastIndex = close + ticks.length;
    }
    if (other?.[0] !== delimiter[0] || run.index === from || /\s/.test(text[run.index - 1])) continue;
    if (other.length !== delimiter.length && other.length !== 3) continue;
    if (other[0] === "_" && /\w/.test(text[run.index + whole.length] ?? " ")) continue;
    return run.index + other.length - delimiter.length;
  }
  return -1;
}

function emphasis(delimiter, nodes) {
  if (delimiter === "~~") return make("s", {}, ...nodes);
  if (delimiter.length === 1) return make("em", {}, ...nodes);
  const strong = make("strong", {}, ...nodes);
  return delimiter.length === 2 ? strong : make("em", {}, strong);
}

/** Without what ends the sentence around it. */
function trimmed(address) {
  const short = address.replace(/[.,;:!?'*_~]+$/, "");
  return short.endsWith(")") && !short.includes("(") ? short.slice(0, -1) : short;
}

/** A link; where an address leads anywhere but to a page or mail, its text, and the address unless that is the text. */
function anchor(address, nodes, linked, bare = false) {
  const url = linked || !URL.canParse(address) ? null : new URL(address);
  if (url && PROTOCOLS.has(url.protocol)) return [make("a", { href: url.href, rel: "noopener noreferrer", target: "_blank" }, ...nodes)];
  return bare || linked || !address ? nodes : [...nodes, document.createTextNode(` (${address})`)];
}
