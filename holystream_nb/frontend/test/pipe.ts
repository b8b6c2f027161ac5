/**
 * Pages without a browser, for the lossy pipe of tests/lossy.py: JSON lines in and out, and time as they say.
 *
 * In:  {page, at, do, …}, what happens on a page at a time (ms), `late` where it slept until then.
 * Out: {sent, wake, shows}: what it sent, when it next wants to be woken, and what it shows.
 */
import { createInterface } from "node:readline";
import { Conversation, type Model as PanelModel } from "../src/chatconversation";
import { Live, type Model as LiveModel } from "../src/livefeed";
import type { Time } from "../src/line";

const region = { append: () => undefined };
Object.assign(globalThis, { document: { querySelector: () => region } });

/** Traits and messages of one widget. */
class Model {
  #callbacks: [string, (message: never) => void][] = [];

  constructor(
    readonly traits: Record<string, unknown>,
    readonly send: (message: unknown) => void,
  ) {}

  get(trait: string): unknown {
    return this.traits[trait];
  }

  set(trait: string, value: unknown): void {
    this.update({ [trait]: value });
  }

  update(state: Record<string, unknown>): void {
    const changed = Object.keys(state).filter((trait) => JSON.stringify(state[trait]) !== JSON.stringify(this.traits[trait]));
    Object.assign(this.traits, state);
    for (const trait of changed) this.fire(`change:${trait}`);
  }

  on(event: string, callback: (message: never) => void): void {
    this.#callbacks.push([event, callback]);
  }

  fire(event: string, message?: unknown): void {
    for (const [name, callback] of this.#callbacks) if (name === event) callback(message as never);
  }
}

/** One widget on one page. */
class Page {
  sent: unknown[] = [];
  #now = 0;
  #timers: { at: number; action: () => void }[] = [];
  #time: Time = {
    now: () => this.#now,
    at: (at, action) => {
      const timer = { at, action };
      this.#timers.push(timer);
      return () => (this.#timers = this.#timers.filter((other) => other !== timer));
    },
  };
  #model: Model;
  #half: Live | Conversation;

  constructor({ page, at, do: kind, traits }: { page: string; at: number; do: string; traits: Record<string, unknown> }) {
    this.#now = at;
    const model = (this.#model = new Model(traits, (message) => this.sent.push(message)));
    if (kind === "live") this.#half = new Live(model as unknown as LiveModel, this.#time);
    else this.#half = new Conversation(model as unknown as PanelModel, page, this.#time);
  }

  get wake(): number | null {
    return this.#timers.length ? Math.min(...this.#timers.map(({ at }) => at)) : null;
  }

  /** Lets time pass, and what is due happen: at its time, or all of it late. */
  until(at: number, isLate: boolean): void {
    for (let due; (due = this.wake) !== null && due <= at; ) {
      const next = this.#timers.find((timer) => timer.at === due)!;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, isLate ? at : due);
      next.action();
    }
    this.#now = Math.max(this.#now, at);
  }

  do(line: any): void {
    const half = this.#half;
    if (line.do === "message") this.#model.fire("msg:custom", line.message as never);
    else if (line.do === "update") this.#model.update(line.state);
    else if (line.do === "say") half.say(line.message);
    else if (half instanceof Live) {
      if (line.do === "appeared") half.say({ kind: "ready", view: line.view });
      else if (line.do === "left") half.say({ kind: "gone", view: line.view });
    } else if (line.do === "appeared") half.appeared(line.view);
    else if (line.do === "left") half.left(line.view);
    else if (line.do === "ask") half.ask(line.text);
    else if (line.do === "stop") half.stop();
    else if (line.do === "set") half.set(line.trait, line.value);
  }

  get shows(): unknown {
    const half = this.#half;
    if (half instanceof Live) {
      const { lanes, verdict, whole, behind } = half.feed;
      return { lanes, verdict, whole, behind };
    }
    const { turns, pending, draft, said, isStreaming, isStopping } = half;
    const drawn = turns.map(({ id, question, chosen, feed: { lanes, verdict, whole, behind } }) => ({
      ...{ id, question, chosen, lanes, verdict, whole, behind },
    }));
    return { turns: drawn, pending, draft, said, isStreaming, isStopping, traits: this.#model.traits };
  }
}

const pages = new Map<string, Page>();
for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line);
  if (said.do === "live" || said.do === "panel") pages.set(said.page, new Page(said));
  const page = pages.get(said.page)!;
  page.until(said.at, said.late === true);
  page.do(said);
  const { sent, wake, shows } = page;
  page.sent = [];
  process.stdout.write(`${JSON.stringify({ sent, wake, shows: said.look ? shows : null })}\n`);
}
