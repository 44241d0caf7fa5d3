import type { Image } from "./turns.svelte";

const MOST_BYTES = 4 << 20;
const MOST_PIXELS = 40_000_000; // of one image: more of them fill the memory
const MOST_IMAGES = 8;
const MOST_DEPTH = 6;

export interface Raster {
  type: string;
  width: number;
  height: number;
}

/** What the bytes are, by their own word: a raster image of a known kind and size, or nothing. A document of vectors is none. */
export function rasterOf(bytes: Uint8Array): Raster | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const begins = (at: number, ...letters: number[]) => letters.every((letter, index) => bytes[at + index] === letter);
  const made = (type: string, width: number, height: number) => (width > 0 && height > 0 && width * height <= MOST_PIXELS ? { type, width, height } : undefined);
  if (bytes.length > MOST_BYTES || bytes.length < 32) return undefined;
  if (begins(0, 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return made("image/png", view.getUint32(16), view.getUint32(20));
  if (begins(0, 0x47, 0x49, 0x46, 0x38)) return made("image/gif", view.getUint16(6, true), view.getUint16(8, true));
  if (begins(0, 0x52, 0x49, 0x46, 0x46) && begins(8, 0x57, 0x45, 0x42, 0x50)) return webp(bytes, view, made);
  if (begins(0, 0xff, 0xd8, 0xff)) return jpeg(view, made);
  return undefined;
}

type Made = (type: string, width: number, height: number) => Raster | undefined;

function webp(bytes: Uint8Array, view: DataView, made: Made): Raster | undefined {
  const kind = String.fromCharCode(...bytes.subarray(12, 16));
  if (kind === "VP8X") return made("image/webp", (view.getUint32(24, true) & 0xffffff) + 1, (view.getUint32(27, true) & 0xffffff) + 1);
  if (kind === "VP8 ") return made("image/webp", view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff);
  if (kind !== "VP8L") return undefined;
  const bits = view.getUint32(21, true);
  return made("image/webp", (bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1);
}

function jpeg(view: DataView, made: Made): Raster | undefined {
  let at = 2;
  while (at + 9 < view.byteLength && view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return made("image/jpeg", view.getUint16(at + 7), view.getUint16(at + 5));
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

/** The image as an address for an element, if it is one; whatever type it claims. */
export function addressOf({ data }: Image): string | undefined {
  if (data.length > (MOST_BYTES * 4) / 3 + 4 || !/^[A-Za-z0-9+/]+=*$/.test(data)) return undefined;
  try {
    const raster = rasterOf(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)));
    return raster && `data:${raster.type};base64,${data}`;
  } catch {
    return undefined;
  }
}

const ADDRESS = /data:(image\/[a-z+.-]+);base64,([A-Za-z0-9+/]+=*)/g;

/** The images in the output of a tool: content of MCP, or data URLs in a text. `text` is the rest. */
export function imagesIn(output: string): { text: string; images: readonly Image[] } {
  const images: Image[] = [];
  const taken = (type: string, data: string) => images.length < MOST_IMAGES && images.push({ type, data });
  if (/^\s*[[{]/.test(output) && /"(image|mimeType|media_type)"/.test(output)) {
    try {
      const rest = without(JSON.parse(output), taken, 0);
      if (images.length) return { text: JSON.stringify(rest, null, 2), images };
    } catch {
      // A text that only begins like JSON.
    }
  }
  const text = output.replace(ADDRESS, (whole, type: string, data: string) => (taken(type, data) ? `[${type}]` : whole));
  return { text, images };
}

function without(value: unknown, taken: (type: string, data: string) => unknown, depth: number): unknown {
  if (value === null || typeof value !== "object" || depth > MOST_DEPTH) return value;
  if (Array.isArray(value)) return value.map((one) => without(one, taken, depth + 1));
  const given = value as Record<string, unknown>;
  const source = (given.source ?? given) as Record<string, unknown>;
  const [data, type] = [source.data, source.mimeType ?? source.media_type ?? given.mimeType];
  if (given.type === "image" && typeof data === "string" && typeof type === "string") return taken(type, data) ? `[${type}]` : value;
  return Object.fromEntries(Object.entries(given).map(([name, one]) => [name, without(one, taken, depth + 1)]));
}

/** Raster images of the crew that a text names, by the path in which agents see them. */
export function picturesIn(text: string): readonly string[] {
  const found = text.slice(0, 100_000).matchAll(/\/output\/([\w.@ -]{1,100}(?:\/[\w.@ -]{1,100}){1,8}\.(?:png|jpe?g|gif|webp))(?![\w.])/gi);
  return [...new Set([...found].map(([, path]) => path!.trim()))].filter((path) => !path.split("/").includes("..")).slice(0, 4);
}
