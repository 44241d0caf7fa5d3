// Writes the compressed form of each built file beside it, and the documents by their sha256. Fails a build that is over its budget.
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

export const BUDGETS = { first: 60_000, style: 15_000, later: 30_000 }; // bytes of gzip
const LEAST = 700; // bytes: what is smaller travels in one packet either way

const gzip = (bytes) => {
  const made = gzipSync(bytes, { level: 9 });
  made[9] = 255; // the system that compressed it: unknown
  return made;
};
const brotli = (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });
const bytesOf = (output) => Buffer.from(output.type === "chunk" ? output.code : output.source);

/** The chunks that a browser loads for one, with it. */
function needed(chunk, bundle, found = new Set()) {
  if (found.has(chunk.fileName)) return found;
  found.add(chunk.fileName);
  for (const name of chunk.imports) if (bundle[name]) needed(bundle[name], bundle, found);
  return found;
}

/**
 * For each screen, and each part that a screen loads later: the compressed bytes of its scripts, beside those that the entry has loaded. The styles
 * are one file, which comes with the entry.
 */
export function measured(bundle) {
  const chunks = Object.values(bundle).filter((one) => one.type === "chunk");
  const size = (name) => gzip(bytesOf(bundle[name])).length;
  const total = (names) => [...names].reduce((sum, name) => sum + size(name), 0);
  const entry = chunks.find((chunk) => chunk.isEntry);
  const first = needed(entry, bundle);
  const styles = Object.keys(bundle).filter((name) => name.endsWith(".css"));
  const screens = {};
  const parts = {};
  const begun = new Set([...first].flatMap((name) => bundle[name].dynamicImports));
  for (const chunk of chunks.filter((one) => one.isDynamicEntry)) {
    (begun.has(chunk.fileName) ? screens : parts)[chunk.name] = total([...needed(chunk, bundle)].filter((name) => !first.has(name)));
  }
  return { entry: total(first), screens, parts, style: total(styles) };
}

function refused({ entry, screens, parts, style }) {
  const over = [];
  // Whichever screen comes first, its scripts come with the entry's.
  for (const [name, bytes] of Object.entries(screens)) {
    if (bytes > BUDGETS.later) over.push(`${name}: ${bytes} bytes of script, ${BUDGETS.later} allowed`);
    if (entry + bytes > BUDGETS.first) over.push(`${name} as the first screen: ${entry + bytes} bytes of script, ${BUDGETS.first} allowed`);
  }
  for (const [name, bytes] of Object.entries(parts)) if (bytes > BUDGETS.later) over.push(`${name}: ${bytes} bytes of script, ${BUDGETS.later} allowed`);
  if (entry > BUDGETS.first) over.push(`entry: ${entry} bytes of script, ${BUDGETS.first} allowed`);
  if (style > BUDGETS.style) over.push(`styles: ${style} bytes, ${BUDGETS.style} allowed`);
  return over;
}

/** `manifest`: of the documents, for the console. `beside`: the folder of the console, for the doors, which are measured beside it. */
export function packed({ manifest, beside }) {
  return {
    name: "packed",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const sizes = measured(bundle);
        const over = refused(sizes);
        if (over.length) this.error(`over the budget (gzip):\n${over.join("\n")}`);
        const all = beside ? { ...JSON.parse(readFileSync(join(beside, "sizes.json"), "utf8")), doors: { entry: sizes.entry, style: sizes.style } } : sizes;
        if (manifest) this.emitFile({ type: "asset", fileName: "documents.json", source: `${JSON.stringify(manifest, null, 1)}\n` });
        this.emitFile({ type: "asset", fileName: "sizes.json", source: `${JSON.stringify(all, null, 1)}\n` });
        for (const output of Object.values(bundle)) {
          if (!/\.(js|css|html|svg)$/.test(output.fileName)) continue;
          const bytes = bytesOf(output);
          if (bytes.length < LEAST) continue;
          this.emitFile({ type: "asset", fileName: `${output.fileName}.gz`, source: gzip(bytes) });
          this.emitFile({ type: "asset", fileName: `${output.fileName}.br`, source: brotli(bytes) });
        }
      },
    },
  };
}
