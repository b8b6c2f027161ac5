import type { Typeset } from "./answer";
import type { Feed, Watcher } from "./feed";
import { Follower } from "./follow";
import { Lane, make, say } from "./lane";
import { word } from "./line";
import { Place } from "./place";
import { type Format, type Label, type ToKernel, running } from "./protocol";
import type { Voice } from "./voice";

/** A frame of the screen, in milliseconds. */
const FRAME_MS = 16;
/** A kernel that has not answered for this long does not hear us while the cell runs. */
const DEAF_MS = 1500;

const STAYS =
  "This answer is not in the notebook's file: its cell was moved, or the page was reloaded. " +
  "Run %stream last in a new cell to have it as text.";

/** What a view does to what is around it: `grow` is called once, and makes the view larger. */
export interface Surroundings {
  around(grow: () => void): void;
  /** The view has been removed. */
  leave(): void;
}

/** The feed on the page: lanes side by side, and a line that compares them. */
export class View implements Watcher {
  #root = make("div", "holystream");
  #verdict = make("p", "hs-verdict");
  #trouble = make("p", "hs-error");
  #lanes: Lane[];
  #surroundings: Surroundings;
  #dirty = true;
  #deaf = false;
  #frame: ReturnType<typeof setTimeout> | undefined;
  #clock: ReturnType<typeof setInterval> | undefined;
  #patience: ReturnType<typeof setTimeout>;
  #calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  #unwatch: () => void;
  #id = word();

  constructor(
    el: HTMLElement,
    labels: Label[],
    format: Format,
    readonly feed: Feed,
    readonly voice: Voice,
    readonly send: (message: ToKernel) => void,
    typeset: Typeset | null = null,
    surroundings: Surroundings | null = null,
  ) {
    this.#surroundings = surroundings ?? new Output(this.#root);
    this.#trouble.setAttribute("role", "alert");
    this.#trouble.hidden = true;
    const grid = make("div", "hs-lanes");
    grid.classList.toggle("hs-several", labels.length > 1);
    this.#lanes = labels.map(
      (label, lane) =>
        new Lane(
          lane,
          label,
          format,
          feed,
          () => send({ kind: "stop", lane }),
          (error) => this.failed(error),
          (call, answer) => send({ kind: "consent", lane, call, answer }),
          typeset,
        ),
    );
    grid.append(...this.#lanes.map((lane) => lane.element));
    this.#root.append(grid, this.#verdict, this.#trouble);
    el.append(this.#root);
    this.#unwatch = feed.watch(this);
    this.#patience = setTimeout(() => {
      this.#deaf = true;
      this.changed();
    }, DEAF_MS);
    this.changed();
    send({ kind: "ready", view: this.#id });
  }

  remove(): void {
    this.#unwatch();
    clearTimeout(this.#frame);
    clearTimeout(this.#patience);
    clearInterval(this.#clock);
    this.#root.remove();
    this.#surroundings.leave();
    this.voice.speak();
    this.send({ kind: "gone", view: this.#id });
  }

  appended(lane: number, text: string, reasoning: string): void {
    this.#guarded(() => this.#lanes[lane]?.append(text, reasoning));
    this.#dirty = true;
  }

  replaced(lane: number): void {
    this.#guarded(() => this.#lanes[lane]?.replace());
    this.#dirty = true;
  }

  changed(): void {
    this.#dirty = true;
    this.#soon();
  }

  /** Our own mistakes are shown where the user looks; the answer itself goes on in the kernel. */
  failed(error: unknown): void {
    console.error(error);
    const what = error instanceof Error ? error.message : String(error);
    this.#tell(`The live view failed (${what}); the answer goes on and is shown in full at its end.`);
  }

  #tell(trouble: string): void {
    say(this.#trouble, trouble);
    this.#trouble.hidden = false;
  }

  /** Draws at once, or after a rest as long as the last drawing took, up to a frame: the reader's input comes between. */
  #soon(): void {
    if (this.#frame !== undefined || !this.#dirty) return;
    this.#dirty = false;
    const start = performance.now();
    this.#guarded(() => this.#draw());
    const took = performance.now() - start;
    this.#frame = setTimeout(() => {
      this.#frame = undefined;
      this.#soon();
    }, Math.min(took, FRAME_MS));
  }

  #draw(): void {
    this.#surroundings.around(() => {
      for (const lane of this.#lanes) {
        if (lane.draw()) this.#dirty = true;
        lane.refresh(this.#deaf);
      }
      say(this.#verdict, this.feed.verdict);
      if (this.feed.stays) this.#tell(STAYS);
    });
    this.voice.speak();
    this.#wind();
    this.feed.lanes.forEach(({ state, text, reasoning }, lane) => {
      if (running(state) && (text || reasoning) && !this.feed.painted.has(lane)) this.#tellPaint(lane);
    });
  }

  /** Says once when the first text of a lane was painted; where nobody can see the page, it is not painted. */
  #tellPaint(lane: number): void {
    const { feed } = this;
    feed.painted.add(lane);
    if (document.hidden || feed.down === Infinity) return;
    // A task right after the frame's callbacks runs when that frame has been drawn.
    requestAnimationFrame(() =>
      setTimeout(() => {
        const at = feed.clock();
        this.send({ kind: "painted", lane, at, sent: feed.clock(), down: feed.down });
      }),
    );
  }

  #wind(): void {
    const runs = this.#lanes.map((lane) => lane.tick(this.#calm)).some(Boolean);
    if (runs) this.#clock ??= setInterval(() => this.#wind(), this.#calm ? 1000 : 100);
    else {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.failed(error);
    }
  }
}

/** Around a view in an output of its own: its end is kept in sight, and it leaves its place without a jump. */
class Output implements Surroundings {
  #follower: Follower;
  #place: Place;

  constructor(view: Element) {
    this.#follower = new Follower(view);
    this.#place = new Place(view);
  }

  around(grow: () => void): void {
    this.#follower.around(grow);
    this.#place.look();
  }

  leave(): void {
    this.#place.leave();
  }
}
