// Fails unless two folders hold the same files. Of compressed ones the content counts: another release of Node may pack it differently.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

const PACKED = { ".br": brotliDecompressSync, ".gz": gunzipSync };

function contents(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => statSync(join(folder, name)).isFile());
  const content = (name) => {
    const bytes = readFileSync(join(folder, name));
    return (PACKED[name.slice(-3)]?.(bytes) ?? bytes).toString("latin1");
  };
  return new Map(names.map((name) => [name, content(name)]));
}

const [committed, built] = process.argv.slice(2).map(contents);
const differing = [...new Set([...committed.keys(), ...built.keys()])].filter((name) => committed.get(name) !== built.get(name)).sort();
// The sizes of compressed files are for people, and differ with the release of Node.
const found = differing.filter((name) => name !== "sizes.json");
if (found.length) {
  console.error(`these files of the console differ from a new build: run make console\n${found.join("\n")}`);
  process.exit(1);
}
