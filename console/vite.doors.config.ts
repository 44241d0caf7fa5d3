// The pages in front of the sign-in: a build of their own beside the console's, so that neither loads a part of the other.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { packed } from "./tools/packed.mjs";
import { texts } from "./tools/texts.mjs";

const out = process.env.CONSOLE_OUT ?? fileURLToPath(new URL("../crewship/static/console", import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "/console/",
  publicDir: false,
  plugins: [await texts(), svelte(), packed({ beside: out })],
  build: {
    outDir: out,
    emptyOutDir: false,
    rollupOptions: { input: fileURLToPath(new URL("doors.html", import.meta.url)) },
    target: "es2023",
    cssCodeSplit: false,
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
});
