/**
 * The words between a chat panel's kernel and page; `chat/widget.py` holds their twins. Traits are state, messages motion.
 *
 * A turn is one question and the answers of one to four models to it, which are an ordinary feed: what travels of them is
 * that of a live view (protocol.ts), in an envelope. `seq` counts added, cut, chosen and said of one panel, from 1: where
 * one is missing the page sends `missed`, and goes on from the next `conversation`. Any message may be lost on its way.
 */
import type { Format, FromKernel, Keyframe, Label, ToKernel } from "./protocol";

export interface PanelTraits {
  /** Whom the next question goes to, one to four; more than one are compared. */
  models: string[];
  system: string;
  temperature: number | null;
  max_tokens: number | null;
  catalogue: Offer[];
  is_streaming: boolean;
  /** Ready-made, such as "12 requests · 3,412 tokens · $0.0012". */
  total: string;
  examples: string[];
  /** The pages in which the saved copy under the panel is no longer brought up to date. */
  stale: string[];
  title: string;
  note: string;
  /** Counts the changes of all of these: where one is missing, the traits are old. */
  told: number;
  /** A panel of the same name, as that of the same cell run again, goes on with the conversation. */
  is_kept: boolean;
  /** A random word for the panel. */
  panel: string;
}

/** A model that can be asked; `value` is what `models` calls it, such as "gpt-4.1" or "provider:gpt-4.1". */
export interface Offer {
  value: string;
  provider: string;
  note: string;
}

/** `chosen` is the lane that the conversation goes on with, -1 while that is open. */
export interface Turn {
  id: string;
  question: string;
  lanes: Label[];
  format: Format;
  keyframe: Keyframe;
  chosen: number;
}

/** The answer to `ready` and `missed`: all there is, up to and including message `seq` and change `told` of the traits. */
export interface Conversation {
  kind: "conversation";
  seq: number;
  turns: Turn[];
  said: Said | null;
  told: number;
  /** The traits, if those of the page are old. */
  state: Partial<PanelTraits>;
}

export interface Added {
  kind: "added";
  seq: number;
  turn: Turn;
}

/** The turns from index `from` on are gone. */
export interface Cut {
  kind: "cut";
  seq: number;
  from: number;
}

export interface Chosen {
  kind: "chosen";
  seq: number;
  turn: string;
  lane: number;
}

/** A message of a turn's own feed. */
export interface OfTurn {
  kind: "turn";
  turn: string;
  message: FromKernel;
}

/** A line for the reader that belongs to no answer. */
export interface Said {
  kind: "said";
  seq: number;
  text: string;
  level: "info" | "error";
}

/** How far the panel is, of its last turn's feed too, and how far each page was heard: a number for each `from`. */
export interface Beat {
  kind: "beat";
  seq: number;
  told: number;
  turn: string;
  at: number;
  heard: Record<string, number>;
}

export type FromPanel = Conversation | Added | Cut | Chosen | OfTurn | Said | Beat;

/**
 * `page` is a random word for the browser's page; `edit`, `regenerate` and `delete` cut the conversation at their turn;
 * `appends` tells that what the kernel displays later still comes to the cell it belongs to;
 * `open` names a provider whose models the reader is looking for: what its service lists comes into `catalogue`;
 * `set` changes settings. All but `have`, which answers a beat where nothing is missing, are numbered (line.ts).
 */
export type ToPanel =
  | { kind: "ready"; page: string; view: string; appends: boolean }
  | { kind: "missed"; told: number }
  | { kind: "gone"; page: string; view: string }
  | { kind: "have"; seq: number; told: number; at: number; from: string }
  | ({ kind: "set" } & Partial<Pick<PanelTraits, "models" | "system" | "temperature" | "max_tokens">>)
  | { kind: "turn"; turn: string; message: ToKernel }
  | { kind: "send"; text: string }
  | { kind: "stop" }
  | { kind: "regenerate"; turn: string }
  | { kind: "edit"; turn: string; text: string }
  | { kind: "delete"; turn: string }
  | { kind: "begin_anew" }
  | { kind: "choose"; turn: string; lane: number }
  | { kind: "open"; provider: string }
  | { kind: "save_copy" };
