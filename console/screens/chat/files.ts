/** Sends a file to the agent of a chat; its next turn can read it. Throws an error with the reason. */
export async function attach(workspace: string, agent: string, chat: string, file: File): Promise<void> {
  const form = new FormData();
  form.append("file", file, file.name);
  const place = `/api/v1/agents/${encodeURIComponent(agent)}/chats/${encodeURIComponent(chat)}/attachments?workspace_id=${encodeURIComponent(workspace)}`;
  const answer = await fetch(place, { method: "POST", body: form, credentials: "same-origin" });
  if (answer.ok) return;
  const said = (await answer.json().catch(() => null)) as { error?: string; detail?: string } | null;
  throw new Error(said?.error ?? said?.detail ?? String(answer.status));
}

export const filesOf = (data: DataTransfer | null): File[] => [...(data?.files ?? [])];
