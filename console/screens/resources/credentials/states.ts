import type { CredentialStatus, CredentialType, RotationStatus } from "../../../generated/types";
import { resources } from "../../../lib/texts.resources";
import type { Tone } from "../Line.svelte";

export const TONES: Record<CredentialStatus, Tone> = {
  ACTIVE: "good",
  PENDING: "warn",
  PENDING_APPROVAL: "warn",
  RATE_LIMITED: "warn",
  EXPIRED: "bad",
  REVOKED: "bad",
  ERROR: "bad",
  REJECTED: "quiet",
};
export const ROTATIONS: Record<RotationStatus, Tone> = { ACTIVE: "busy", EXPIRED: "quiet", CANCELLED: "quiet" };
export const STATES = Object.keys(TONES) as CredentialStatus[];
export const TYPES = Object.keys(resources.types) as CredentialType[];
/** Values of several lines. */
export const LONG: readonly CredentialType[] = ["SSH_KEY", "CERTIFICATE"];
/** Providers whose keys the service can test, or whose variable it knows; any other may be written. */
export const PROVIDERS = ["ANTHROPIC", "OPENAI", "GOOGLE", "GITHUB", "GITLAB", "CURSOR", "FACTORY", "VERCEL", "AWS", "KUBERNETES"];

/** Where programs look for the key of a provider of models. */
export const VARIABLES: Record<string, string> = { ANTHROPIC: "ANTHROPIC_API_KEY", OPENAI: "OPENAI_API_KEY", GOOGLE: "GEMINI_API_KEY", CURSOR: "CURSOR_API_KEY", FACTORY: "FACTORY_API_KEY" };

export const isOver = (at: string | null | undefined): boolean => !!at && Date.parse(at) < Date.now();
