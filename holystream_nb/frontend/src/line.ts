/** What every message to the kernel that must not be lost carries: whose it is, and its number among theirs, from 1. */
export interface Numbered {
  from: string;
  number: number;
}

/** Time in ms, so that a test can have its own; `at` returns what calls it off. */
export interface Time {
  now(): number;
  at(time: number, action: () => void): () => void;
}

export const REAL: Time = {
  now: () => performance.now(),
  at: (time, action) => {
    const timer = setTimeout(action, Math.ceil(time - performance.now()));
    return () => clearTimeout(timer);
  },
};

/** What a line asks of those who speak on it. */
export interface Speaker<Message> {
  send(message: Message & Numbered): void;
  /** What to ask for, where something is known to be missing. */
  missing(): Message | null;
  /** What to ask for when nothing has come for a while, though more should. */
  overdue(): Message | null;
  /** Nothing more is to come: the kernel may have closed its half, and what it does not hear is given up in the end. */
  isOver(): boolean;
}

/** How long something may be missing, or nothing may come, before it is asked for, in milliseconds. */
const PATIENCE_MS = 1000;
/** What the kernel has not heard is said again after a second, then ever more rarely: it may hear all of it at once, later. */
const LONGEST_MS = 30_000;

/**
 * The way to the kernel, on which any message may be lost: in both directions, and the last one too.
 *
 * What is said is numbered and said again until the kernel has heard it, which heeds each number once and in order. One
 * question of the line's own is on its way at a time. While nothing is unheard, missing or due, nothing is sent.
 */
export class Line<Message extends object> {
  /** The kernel has heard something of ours. */
  isHeard = false;
  #unheard: (Message & Numbered)[] = [];
  #number = 0;
  #askedAt = -Infinity;
  #cameAt: number;
  #wait = PATIENCE_MS;
  #sayAt = Infinity;
  #calledOff: (() => void) | null = null;
  #dueAt = Infinity;
  #isClosed = false;
  #isCut = false;

  constructor(
    readonly from: string,
    readonly speaker: Speaker<Message>,
    readonly time: Time = REAL,
  ) {
    this.#cameAt = time.now();
  }

  /** All that was said has been heard. */
  get isQuiet(): boolean {
    return this.#unheard.length === 0;
  }

  /** Says something; returns its number. */
  say(message: Message): number {
    if (!this.#isClosed) this.#put(message);
    this.look();
    return this.#number;
  }

  #put(message: Message): void {
    const numbered = { ...message, from: this.from, number: ++this.#number };
    if (this.isQuiet) {
      this.#wait = PATIENCE_MS;
      this.#sayAt = this.time.now() + this.#wait;
    }
    this.#unheard.push(numbered);
    this.speaker.send(numbered);
  }

  /** A message has come. */
  came(): void {
    this.#cameAt = this.time.now();
    this.#isCut = false;
  }

  /** The kernel has gone: nothing is said until something comes. */
  cut(): void {
    this.#isCut = true;
    this.look();
  }

  /** A beat has come: so far each sender has been heard. */
  heard(heard: Record<string, number>): void {
    const number = heard[this.from] ?? 0;
    const before = this.#unheard.length;
    this.#unheard = this.#unheard.filter((message) => message.number > number);
    if (this.#unheard.length === before) return;
    this.isHeard = true;
    this.#wait = PATIENCE_MS;
    this.#sayAt = this.isQuiet ? Infinity : this.time.now() + this.#wait;
  }

  /** Asks for what is missing, and looks again when there may be more to do. Call it after every message. */
  look(): void {
    if (this.#isClosed) return;
    if (this.#isCut) return this.#wake(Infinity);
    const now = this.time.now();
    if (now >= this.#sayAt) this.#sayAgain(now);
    const askAt = this.#askAt(now);
    this.#wake(Math.min(this.#sayAt, askAt));
  }

  #sayAgain(now: number): void {
    if (this.#wait === LONGEST_MS && this.speaker.isOver()) this.#unheard = [];
    for (const message of this.#unheard) this.speaker.send(message);
    this.#wait = Math.min(2 * this.#wait, LONGEST_MS);
    this.#sayAt = this.isQuiet ? Infinity : now + this.#wait;
  }

  /** Asks, if it is time to, or says when it will be; while something is unheard, a question would be as well. */
  #askAt(now: number): number {
    if (!this.isQuiet) return Infinity;
    const missing = this.speaker.missing();
    const question = missing ?? this.speaker.overdue();
    if (!question) return Infinity;
    const at = Math.max(this.#askedAt, missing ? -Infinity : this.#cameAt) + PATIENCE_MS;
    if (now < at) return at;
    this.#askedAt = now;
    this.#put(question);
    return Infinity;
  }

  /** Nothing more is said. */
  close(): void {
    this.#isClosed = true;
    this.#unheard = [];
    this.#wake(Infinity);
  }

  #wake(at: number): void {
    if (at === this.#dueAt) return;
    this.#calledOff?.();
    this.#calledOff = null;
    this.#dueAt = at;
    if (at === Infinity) return;
    this.#calledOff = this.time.at(at, () => {
      this.#dueAt = Infinity;
      this.look();
    });
  }
}

/** A random word. */
export function word(): string {
  return Math.random().toString(36).slice(2, 12);
}
