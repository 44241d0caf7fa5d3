// The validator inside the reference compiles its checks with `new Function` where it can. The content security policy refuses
// that; saying so beforehand spares the refused attempt and the report of it. Read when the bundle starts, hence a file of its own.
globalThis.__zod_globalConfig = { jitless: true };
