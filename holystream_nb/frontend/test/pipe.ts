/**
 * A page without a browser, for the lossy pipe of tests/lossy.py: JSON lines in and out, and time as they say.
 *
 * In:  {at, do, …}, what happens at a time (ms).  Out: {sent, wake, shows}: what the page sent, when it next wants to be
 * woken, and what it shows.
 */
import { createInterface } from "node:readline";
import { Conversation, type Model as PanelModel } from "../src/chatconversation";
import { Live, type Model as LiveModel } from "../src/livefeed";
import type { Time } from "../src/line";

const region = { append: () => undefined };
Object.assign(globalThis, { document: { querySelector: () => region } });

let now = 0;
let timers: { at: number; action: () => void }[] = [];
let sent: unknown[] = [];
const time: Time = {
  now: () => now,
  at: (at, action) => {
    const timer = { at, action };
    timers.push(timer);
    return () => (timers = timers.filter((other) => other !== timer));
  },
};

/** Lets time pass, and what is due happen. */
function until(at: number): void {
  for (;;) {
    const [next] = [...timers].sort((a, b) => a.at - b.at);
    if (!next || next.at > at) break;
    timers = timers.filter((timer) => timer !== next);
    now = Math.max(now, next.at);
    next.action();
  }
  now = Math.max(now, at);
}

/** Traits and messages of one widget. */
class Model {
  #callbacks: [string, (message: never) => void][] = [];

  constructor(readonly traits: Record<string, unknown>) {}

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

  send(message: unknown): void {
    sent.push(message);
  }

  fire(event: string, message?: unknown): void {
    for (const [name, callback] of this.#callbacks) if (name === event) callback(message as never);
  }
}

let model: Model;
let live: Live | null = null;
let panel: Conversation | null = null;

/** A new page. */
function begin(traits: Record<string, unknown>): void {
  now = 0;
  timers = [];
  live = panel = null;
  model = new Model(traits);
}

const actions: Record<string, (line: any) => unknown> = {
  live: ({ traits }) => {
    begin(traits);
    live = new Live(model as unknown as LiveModel, time);
  },
  panel: ({ traits }) => {
    begin(traits);
    panel = new Conversation(model as unknown as PanelModel, "page", time);
  },
  message: ({ message }) => model.fire("msg:custom", message),
  update: ({ state }) => model.update(state),
  say: ({ message }) => (live ?? panel)!.say(message),
  appeared: ({ view }) => (live ? live.say({ kind: "ready", view }) : panel!.appeared(view)),
  left: ({ view }) => (live ? live.say({ kind: "gone", view }) : panel!.left(view)),
  ask: ({ text }) => panel!.ask(text),
  stop: () => panel!.stop(),
  set: ({ trait, value }) => panel!.set(trait, value),
  wake: () => undefined,
};

function shows(): unknown {
  if (live) {
    const { lanes, verdict, whole, behind } = live.feed;
    return { lanes, verdict, whole, behind };
  }
  const { turns, pending, draft, said, isStreaming, isStopping } = panel!;
  const drawn = turns.map(({ id, question, chosen, feed: { lanes, verdict, whole, behind } }) => ({
    ...{ id, question, chosen, lanes, verdict, whole, behind },
  }));
  return { turns: drawn, pending, draft, said, isStreaming, isStopping, traits: model.traits };
}

for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line);
  if (said.do !== "live" && said.do !== "panel") until(said.at);
  actions[said.do]!(said);
  const wake = timers.length ? Math.min(...timers.map(({ at }) => at)) : null;
  process.stdout.write(`${JSON.stringify({ sent, wake, shows: said.look ? shows() : null })}\n`);
  sent = [];
}
