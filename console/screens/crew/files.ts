import { signInFirst } from "../../lib/client";
import { texts } from "../../lib/texts";

/** Files go over REST: GraphQL carries texts only. */
const address = (crew: string, what: string, ws: string, path: string) => `/api/v1/crews/${encodeURIComponent(crew)}/files/${what}?${new URLSearchParams({ workspace_id: ws, path })}`;
export const downloadOf = (crew: string, ws: string, path: string): string => address(crew, "download", ws, path);

async function asked(url: string, init: RequestInit = {}): Promise<Response> {
  const answer = await fetch(url, { credentials: "same-origin", ...init }).catch(() => undefined);
  if (!answer) throw new Error(texts.states.offline);
  if (answer.status === 401) signInFirst();
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => ({}))) as { error?: string | { message?: string }; message?: string; detail?: string };
  const said = typeof told.error === "string" ? told.error : told.error?.message;
  throw new Error(said ?? told.message ?? told.detail ?? texts.states.answered(answer.status));
}

export const upload = (crew: string, ws: string, path: string, file: Blob): Promise<Response> =>
  asked(address(crew, "save", ws, path), { method: "PUT", body: file, headers: { "content-type": "application/octet-stream" } });

export interface Preview {
  text?: string;
  image?: string;
}
const IMAGES: Record<string, string> = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif" };

/** A file as a person can look at it: a picture, or a text. Neither: nothing. */
export async function previewOf(crew: string, ws: string, path: string): Promise<Preview> {
  const bytes = await (await asked(downloadOf(crew, ws, path))).arrayBuffer();
  const type = IMAGES[path.split(".").pop()!.toLowerCase()];
  if (type) return { image: URL.createObjectURL(new Blob([bytes], { type })) };
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? {} : { text };
  } catch {
    return {};
  }
}
