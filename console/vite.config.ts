import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { writeDocuments } from "./tools/documents.mjs";
import { packed } from "./tools/packed.mjs";
import { texts } from "./tools/texts.mjs";

const manifest = await writeDocuments();
const out = process.env.CONSOLE_OUT ?? fileURLToPath(new URL("../crewship/static/console", import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "/console/",
  publicDir: "public",
  resolve: { alias: { "@0no-co/graphql.web": fileURLToPath(new URL("lib/language.ts", import.meta.url)) } },
  plugins: [await texts(), svelte(), packed({ manifest })],
  build: {
    outDir: out,
    emptyOutDir: true,
    target: "es2023",
    cssCodeSplit: false,
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: { polyfill: false },
    // All other files of the package are text that a policy without `data:` admits.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    license: { fileName: "licenses.md" },
  },
});
