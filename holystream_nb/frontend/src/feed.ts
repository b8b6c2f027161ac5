import { type Call, type Delta, type FromKernel, type Keyframe, type LaneState, type Snapshot, type Status, type Whole, running } from "./protocol";

/** A lane as the page knows it; `since` is the moment, on the page's clock, at which the request began. */
export interface Lane extends LaneState {
  since: number;
  calls: Call[];
}

export interface Watcher {
  /** Text or reasoning was added at the end of a lane. */
  appended(lane: number, text: string, reasoning: string): void;
  /** A lane holds something else than before. */
  replaced(lane: number): void;
  /** States, figures, or what is known of the kernel changed. */
  changed(): void;
  /** Something of ours is broken. */
  failed(error: unknown): void;
}

/**
 * The messages of one widget in their order, folded into lanes: nothing doubled, nothing reordered.
 *
 * A message out of order is kept; the feed goes on from the first snapshot or keyframe that closes the gap, which its
 * line asks for. Statuses alone are shown at once: an answer's end must not wait for its missing middle.
 */
export class Feed {
  readonly lanes: Lane[] = [];
  /** A snapshot has come: the kernel hears us while the cell runs. */
  heard = false;
  /** A message is missing. */
  behind = false;
  /** Everything has come: nothing more will. */
  whole = false;
  /** The kernel has gone. */
  lost = false;
  /** The answer's plain output could not be put in this view's place. */
  stays = false;
  /** The least that the page's clock was ahead of a message's `sent` when it came, in ms; Infinity before there was one. */
  down = Infinity;
  /** Lanes whose first text was painted. */
  readonly painted = new Set<number>();
  /** What is said of all lanes together. */
  verdict = "";

  #applied = 0;
  #newest = 0;
  #later = new Map<number, Delta | Status | Whole>();
  #statuses: number[] = [];
  #watchers = new Set<Watcher>();

  constructor(
    lanes: number,
    keyframe: Partial<Keyframe>,
    readonly clock: () => number = () => performance.now(),
  ) {
    for (let lane = 0; lane < lanes; lane++) this.lanes.push(waiting(clock()));
    this.#keyframe(keyframe);
  }

  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  receive(message: FromKernel): void {
    this.lost = false;
    this.stays ||= message.kind === "stays";
    if ("sent" in message && message.sent !== undefined) this.down = Math.min(this.down, this.clock() - message.sent);
    this.#change(() => {
      if (message.kind === "snapshot") this.#snapshot(message);
      else if (message.kind === "delta" || message.kind === "status" || message.kind === "whole") this.#next(message);
    });
  }

  /** So many messages there are by now. */
  reaches(seq: number): void {
    if (seq <= this.#newest) return;
    this.#newest = seq;
    this.#change(() => this.#drain());
  }

  /** So many messages have come, each of them and all before. */
  get seq(): number {
    return this.#applied;
  }

  keyframe(keyframe: Partial<Keyframe>): void {
    this.#change(() => this.#keyframe(keyframe));
  }

  disconnected(): void {
    this.#change(() => (this.lost = this.lanes.some((lane) => running(lane.state))));
  }

  #change(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#tell((watcher) => watcher.failed(error));
    }
    this.#tell((watcher) => watcher.changed());
  }

  #snapshot(snapshot: Snapshot): void {
    this.heard = true;
    if (snapshot.seq >= this.#applied) this.#load(snapshot);
  }

  #keyframe({ seq = 0, lanes = [], verdict = "", whole = false }: Partial<Keyframe>): void {
    if (seq > this.#applied) this.#load({ seq, lanes, verdict, whole });
  }

  #next(message: Delta | Status | Whole): void {
    if (message.seq <= this.#applied) return;
    if (message.kind === "status") this.#mark(message);
    this.#newest = Math.max(this.#newest, message.seq);
    this.#later.set(message.seq, message);
    this.#drain();
  }

  #drain(): void {
    for (let message; (message = this.#later.get(this.#applied + 1)); ) {
      this.#later.delete(message.seq);
      this.#applied = message.seq;
      if (message.kind === "delta") this.#extend(message);
      else if (message.kind === "whole") this.#end(message.verdict);
      else for (const call of message.calls ?? []) this.lanes[message.lane]!.calls[call.number] = call;
    }
    this.behind = this.#newest > this.#applied;
  }

  #extend({ lane: index, text, reasoning }: Delta): void {
    const lane = this.lanes[index];
    if (!lane) throw new RangeError(`a delta for lane ${index} of ${this.lanes.length}`);
    lane.text += text;
    lane.reasoning += reasoning;
    if (lane.state === "waiting") lane.state = "streaming";
    this.#tell((watcher) => watcher.appended(index, text, reasoning));
  }

  #mark({ kind: _kind, seq, lane: index, calls: _calls, ...standing }: Status): void {
    const lane = this.lanes[index];
    if (!lane) throw new RangeError(`a status for lane ${index} of ${this.lanes.length}`);
    if (seq <= (this.#statuses[index] ?? -1)) return;
    this.#statuses[index] = seq;
    Object.assign(lane, standing, { since: this.clock() - standing.elapsed_ms });
  }

  #end(verdict: string): void {
    this.verdict = verdict;
    this.whole = true;
  }

  #load({ seq, lanes, verdict, whole }: Keyframe): void {
    this.#applied = seq;
    if (whole) this.#end(verdict);
    lanes.slice(0, this.lanes.length).forEach((state, index) => {
      const old = this.lanes[index]!;
      const known = this.#statuses[index] ?? -1;
      const { text, reasoning } = state;
      const calls = [...(state.calls ?? [])];
      const fresh = { ...state, calls, since: this.clock() - state.elapsed_ms };
      this.lanes[index] = known > seq ? { ...old, text, reasoning, calls } : fresh;
      if (text.startsWith(old.text) && reasoning.startsWith(old.reasoning)) {
        const more = [text.slice(old.text.length), reasoning.slice(old.reasoning.length)] as const;
        if (more[0] || more[1]) this.#tell((watcher) => watcher.appended(index, ...more));
      } else this.#tell((watcher) => watcher.replaced(index));
    });
    for (const late of this.#later.keys()) if (late <= seq) this.#later.delete(late);
    this.#drain();
  }

  #tell(news: (watcher: Watcher) => void): void {
    this.#watchers.forEach(news);
  }
}

function waiting(since: number): Lane {
  const standing = { figures: [], ending: "", error: "", elapsed_ms: 0, units: 0, thought: "" };
  return { text: "", reasoning: "", state: "waiting", ...standing, calls: [], since };
}
