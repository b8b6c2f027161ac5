import type { FromPanel, PanelTraits, Said, ToPanel, Turn as TurnState } from "./chatprotocol";
import { Feed } from "./feed";
import type { Format, Label } from "./protocol";
import { Voice } from "./voice";

/** The part of anywidget's model that is used here. */
export interface Model {
  get<Name extends keyof PanelTraits>(trait: Name): PanelTraits[Name];
  set<Name extends keyof PanelTraits>(trait: Name, value: PanelTraits[Name]): void;
  save_changes(): void;
  on(event: string, callback: (message: FromPanel) => void): void;
  send(message: ToPanel): void;
}

const TRAITS: (keyof PanelTraits)[] = [
  ...(["models", "system", "temperature", "max_tokens", "catalogue", "is_streaming", "total", "examples"] as const),
  ...(["stale", "title", "note", "is_kept"] as const),
];
const ASK_AGAIN_MS = 2000;
/** A first `ready` may be sent before the kernel can hear it; ever more rarely, since it may answer all of them later. */
const FIRST_HAIL_MS = 1000;
const LAST_HAIL_MS = 30_000;

/** One question, and the feed of the answers to it. */
export class Turn {
  readonly id: string;
  readonly question: string;
  readonly labels: Label[];
  readonly format: Format;
  readonly feed: Feed;
  readonly voice: Voice;
  chosen: number;

  constructor(
    { id, question, lanes, format, keyframe, chosen, verdict }: TurnState,
    readonly send: (message: ToPanel) => void,
  ) {
    this.id = id;
    this.question = question;
    this.labels = lanes;
    this.format = format;
    this.chosen = chosen;
    this.feed = new Feed(lanes.length, {}, () => send({ kind: "turn", turn: id, message: { kind: "missed" } }));
    this.feed.receive({ kind: "snapshot", ...keyframe });
    this.feed.judged(verdict);
    this.voice = new Voice(this.feed, lanes);
  }
}

/** A panel as the page knows it: its turns in their order, and what all views of it share. */
export class Conversation {
  turns: Turn[] = [];
  /** Grows with every change of the turns, but not with what arrives inside of one. */
  version = 0;
  /** A conversation has come: the kernel hears us. */
  heard = false;
  /** The kernel has gone. */
  lost = false;
  /** What is written in the composer and not sent. */
  draft = "";
  /** A question that has been sent, and is not in the conversation yet. */
  pending = "";
  said: Said | null = null;
  isStopping = false;

  #applied = 0;
  #asked = -Infinity;
  #hail: ReturnType<typeof setTimeout> | undefined;
  #watchers = new Set<() => void>();

  constructor(
    readonly model: Model,
    readonly page: string,
    readonly clock: () => number = () => performance.now(),
  ) {
    for (const trait of TRAITS) model.on(`change:${trait}`, () => this.changed());
    model.on("msg:custom", (message) => this.receive(message));
    model.on("comm_live_update", () => this.#disconnected());
  }

  get isStreaming(): boolean {
    return this.model.get("is_streaming") && !this.lost;
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** A view of it is on the page. */
  appeared(): void {
    this.model.send({ kind: "ready", page: this.page, appends: document.querySelector(".jp-NotebookPanel") !== null });
    if (!this.heard) this.#hailLater(FIRST_HAIL_MS);
  }

  left(): void {
    if (!this.#watchers.size) clearTimeout(this.#hail);
    this.model.send({ kind: "gone", page: this.page });
  }

  set<Name extends keyof PanelTraits>(trait: Name, value: PanelTraits[Name]): void {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  write(draft: string): void {
    this.draft = draft;
    this.changed();
  }

  ask(text: string): void {
    this.pending = text;
    this.draft = "";
    this.said = null;
    this.model.send({ kind: "send", text });
    this.changed();
  }

  stop(): void {
    this.isStopping = true;
    this.model.send({ kind: "stop" });
    this.changed();
  }

  dismiss(): void {
    this.said = null;
    this.changed();
  }

  receive(message: FromPanel): void {
    this.lost = false;
    if (message.kind === "turn") return this.#find(message.turn)?.feed.receive(message.message);
    if (message.kind === "said") this.#hear(message);
    else if (message.kind === "conversation") this.#load(message.seq, message.turns);
    else this.#next(message);
    this.changed();
  }

  changed(): void {
    if (!this.isStreaming) this.isStopping = false;
    for (const watcher of this.#watchers) watcher();
  }

  #next(message: Exclude<FromPanel, { kind: "conversation" | "turn" | "said" }>): void {
    if (message.seq <= this.#applied) return;
    if (message.seq > this.#applied + 1) return this.#missed();
    this.#applied = message.seq;
    this.version += 1;
    if (message.kind === "added") {
      this.turns = [...this.turns, this.#turn(message.turn)];
      this.pending = "";
    } else if (message.kind === "cut") this.turns = this.turns.slice(0, message.from);
    else {
      const turn = this.#find(message.turn);
      if (!turn) return;
      if (message.kind === "chosen") turn.chosen = message.lane;
      else turn.feed.judged(message.verdict);
    }
  }

  #load(seq: number, turns: TurnState[]): void {
    this.heard = true;
    clearTimeout(this.#hail);
    if (seq < this.#applied) return;
    const isNew = turns.length > this.turns.length;
    this.#applied = seq;
    this.version += 1;
    const known = new Map(this.turns.map((turn) => [turn.id, turn]));
    this.turns = turns.map((state) => {
      const turn = known.get(state.id);
      if (!turn) return this.#turn(state);
      turn.chosen = state.chosen;
      turn.feed.receive({ kind: "snapshot", ...state.keyframe });
      turn.feed.judged(state.verdict);
      return turn;
    });
    if (isNew) this.pending = "";
  }

  #turn(state: TurnState): Turn {
    return new Turn(state, (message) => this.model.send(message));
  }

  /** What the kernel could not take goes back to where it was written. */
  #hear(said: Said): void {
    this.said = said;
    if (said.level !== "error" || !this.pending) return;
    this.draft ||= this.pending;
    this.pending = "";
  }

  #missed(): void {
    const now = this.clock();
    if (now - this.#asked < ASK_AGAIN_MS) return;
    this.#asked = now;
    this.model.send({ kind: "missed" });
  }

  #hailLater(wait: number): void {
    clearTimeout(this.#hail);
    this.#hail = setTimeout(() => {
      this.model.send({ kind: "missed" });
      if (wait < LAST_HAIL_MS) this.#hailLater(wait * 3);
    }, wait);
  }

  #disconnected(): void {
    this.lost = true;
    clearTimeout(this.#hail);
    this.draft ||= this.pending;
    this.pending = "";
    for (const turn of this.turns) turn.feed.disconnected();
    this.changed();
  }

  #find(id: string): Turn | undefined {
    const last = this.turns.at(-1);
    return last?.id === id ? last : this.turns.find((turn) => turn.id === id);
  }
}
