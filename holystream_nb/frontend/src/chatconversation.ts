import type { LiveAnswer } from "./answers";
import type { Added, Beat, Chosen, Conversation as ConversationState, Cut, FromPanel, PanelTraits, Said, ToPanel, Turn as TurnState } from "./chatprotocol";
import { Feed } from "./feed";
import { Line, REAL, type Time, word } from "./line";
import { type Format, type FromKernel, type Label, running } from "./protocol";
import { Voice } from "./voice";

/** The part of anywidget's model that is used here. */
export interface Model {
  get<Name extends keyof PanelTraits>(trait: Name): PanelTraits[Name];
  /** Here only: the kernel is told by message. */
  set<Name extends keyof PanelTraits>(trait: Name, value: PanelTraits[Name]): void;
  on(event: string, callback: (message: FromPanel) => void): void;
  send(message: ToPanel): void;
}

const TRAITS: (keyof PanelTraits)[] = [
  ...(["models", "system", "temperature", "max_tokens", "catalogue", "is_streaming", "total", "examples"] as const),
  ...(["stale", "title", "note", "is_kept"] as const),
];
/** One question, and the feed of the answers to it. */
export class Turn {
  readonly id: string;
  readonly question: string;
  readonly labels: Label[];
  readonly format: Format;
  readonly feed: Feed;
  readonly voice: Voice;
  chosen: number;

  constructor({ id, question, lanes, format, keyframe, chosen }: TurnState, clock: () => number) {
    this.id = id;
    this.question = question;
    this.labels = lanes;
    this.format = format;
    this.chosen = chosen;
    this.feed = new Feed(lanes.length, {}, clock);
    this.feed.receive({ kind: "snapshot", ...keyframe });
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

  readonly line: Line<ToPanel>;
  #views = 0;
  #applied = 0;
  #newest = 0;
  /** A message has come of what is not known here. */
  #isPuzzled = false;
  #told: number;
  #newestTold: number;
  #watchers = new Set<() => void>();

  constructor(
    readonly model: Model,
    readonly page: string,
    readonly time: Time = REAL,
  ) {
    this.#told = this.#newestTold = model.get("told");
    const speaker = {
      send: (message: ToPanel) => model.send(message),
      missing: () => this.#missing(),
      overdue: () => (this.#views && this.#isUnfinished() ? this.#missed() : null),
      isOver: () => false,
    };
    this.line = new Line(word(), speaker, time);
    for (const trait of TRAITS) model.on(`change:${trait}`, () => this.changed());
    model.on("change:told", () => this.#hearTold());
    model.on("msg:custom", (message) => this.receive(message));
    model.on("comm_live_update", () => this.#disconnected());
  }

  get isStreaming(): boolean {
    return this.model.get("is_streaming") && !this.lost;
  }

  /** What the saved copy does not have: the answers that arrive, or all of them where it is not brought up to date. */
  unsaved(): LiveAnswer[] {
    const isStale = this.model.get("stale").includes(this.page);
    const turns = this.turns.filter(({ feed }) => isStale || feed.lanes.some(({ state }) => running(state)));
    return turns.flatMap(({ feed, labels, question }) =>
      feed.lanes.map(({ text, reasoning, state }, lane) => {
        const { label, note } = labels[lane]!;
        return { label, note, text, reasoning, isRunning: running(state), ...(lane ? {} : { question }) };
      }),
    );
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** A view of it is on the page. */
  appeared(view: string): void {
    this.#views += 1;
    this.say({ kind: "ready", page: this.page, view, appends: document.querySelector(".jp-NotebookPanel") !== null });
  }

  left(view: string): void {
    this.#views -= 1;
    this.say({ kind: "gone", page: this.page, view });
  }

  /** Tells the kernel, in order and until it has heard it. */
  say(message: ToPanel): void {
    this.line.say(message);
  }

  set<Name extends "models" | "system" | "temperature" | "max_tokens">(trait: Name, value: PanelTraits[Name]): void {
    this.model.set(trait, value);
    this.say({ kind: "set", [trait]: value });
  }

  write(draft: string): void {
    this.draft = draft;
    this.changed();
  }

  ask(text: string): void {
    this.pending = text;
    this.draft = "";
    this.said = null;
    this.say({ kind: "send", text });
    this.changed();
  }

  stop(): void {
    this.isStopping = true;
    this.say({ kind: "stop" });
    this.changed();
  }

  dismiss(): void {
    this.said = null;
    this.changed();
  }

  receive(message: FromPanel): void {
    this.lost = false;
    this.line.came();
    if (message.kind === "turn") this.#hearTurn(message.turn, message.message);
    else {
      if (message.kind === "beat") this.#beat(message);
      else if (message.kind === "conversation") this.#load(message);
      else this.#next(message);
      this.#settle();
      this.changed();
    }
    this.line.look();
  }

  changed(): void {
    if (!this.isStreaming) this.isStopping = false;
    for (const watcher of this.#watchers) watcher();
  }

  /** Where something is known to be missing: what to ask for. */
  #missing(): ToPanel | null {
    if (!this.#views || this.lost) return null;
    const isOld = this.#newestTold !== this.#told || this.model.get("told") !== this.#told;
    if (!this.heard || this.#isPuzzled || this.#newest > this.#applied || isOld) return this.#missed();
    const behind = this.turns.find((turn) => turn.feed.behind);
    return behind ? { kind: "turn", turn: behind.id, message: { kind: "missed" } } : null;
  }

  #missed(): ToPanel {
    return { kind: "missed", told: this.model.get("told") === this.#told ? this.#told : -1 };
  }

  #isUnfinished(): boolean {
    return this.pending !== "" || this.isStreaming || this.turns.some((turn) => !turn.feed.whole);
  }

  #hearTurn(id: string, message: FromKernel): void {
    const turn = this.#find(id);
    if (turn) turn.feed.receive(message);
    else this.#isPuzzled = true;
  }

  #beat({ seq, told, turn, at, heard }: Beat): void {
    this.line.heard(heard);
    this.#newest = Math.max(this.#newest, seq);
    this.#newestTold = Math.max(this.#newestTold, told);
    this.#find(turn)?.feed.reaches(at);
    if (!this.heard || this.#missing()) return;
    this.model.send({ kind: "have", seq: this.#applied, told: this.#told, at: this.#find(turn)?.feed.seq ?? 0, from: this.line.from });
  }

  /** Traits have come; those of a change that was lost have not. */
  #hearTold(): void {
    const told = this.model.get("told");
    if (told === this.#told + 1) this.#told = told;
    this.#newestTold = Math.max(this.#newestTold, told);
    this.line.came();
    this.line.look();
  }

  #next(message: Added | Cut | Chosen | Said): void {
    if (message.seq <= this.#applied) return;
    this.#newest = Math.max(this.#newest, message.seq);
    if (message.seq > this.#applied + 1) return;
    this.#applied = message.seq;
    if (message.kind === "said") return this.#hear(message);
    this.version += 1;
    if (message.kind === "added") {
      this.turns = [...this.turns, this.#turn(message.turn)];
      this.pending = "";
    } else if (message.kind === "cut") this.turns = this.turns.slice(0, message.from);
    else {
      const turn = this.#find(message.turn);
      if (turn) turn.chosen = message.lane;
    }
  }

  #load({ seq, turns, said, told, state }: ConversationState): void {
    this.heard = true;
    if (seq < this.#applied || told < this.#told) return;
    const isNew = turns.length > this.turns.length;
    if (said && said.seq > this.#applied) this.#hear(said);
    this.#applied = seq;
    this.#newest = Math.max(this.#newest, seq);
    this.#isPuzzled = false;
    this.#hearState(told, state);
    this.version += 1;
    const known = new Map(this.turns.map((turn) => [turn.id, turn]));
    this.turns = turns.map((state) => {
      const turn = known.get(state.id);
      if (!turn) return this.#turn(state);
      turn.chosen = state.chosen;
      turn.feed.receive({ kind: "snapshot", ...state.keyframe });
      return turn;
    });
    if (isNew) this.pending = "";
  }

  #hearState(told: number, state: Partial<PanelTraits>): void {
    if (!Object.keys(state).length) return;
    this.#told = told;
    this.#newestTold = Math.max(this.#newestTold, told);
    for (const [trait, value] of Object.entries({ ...state, told })) this.model.set(trait as keyof PanelTraits, value);
  }

  /** A question that the kernel has heard is in the conversation, or was refused: it does not wait. */
  #settle(): void {
    if (!this.pending || !this.line.isQuiet || this.#missing()) return;
    this.draft ||= this.pending;
    this.pending = "";
  }

  #turn(state: TurnState): Turn {
    return new Turn(state, () => this.time.now());
  }

  /** What the kernel could not take goes back to where it was written. */
  #hear(said: Said): void {
    this.said = said;
    if (said.level !== "error" || !this.pending) return;
    this.draft ||= this.pending;
    this.pending = "";
  }

  #disconnected(): void {
    this.lost = true;
    this.line.cut();
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
