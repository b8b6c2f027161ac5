import { Feed } from "./feed";
import { Line, REAL, type Time, word } from "./line";
import type { Format, FromKernel, Keyframe, Label, ToKernel } from "./protocol";

/** The part of anywidget's model that is used here. */
export interface Model {
  get(trait: "lanes"): Label[];
  get(trait: "keyframe"): Partial<Keyframe>;
  get(trait: "format"): Format;
  get(trait: "answer"): string;
  on(event: string, callback: (message: FromKernel) => void): void;
  send(message: ToKernel): void;
}

/** A widget's feed, and the line on which what it misses is asked for. */
export class Live {
  readonly feed: Feed;
  readonly line: Line<ToKernel>;

  constructor(
    readonly model: Model,
    time: Time = REAL,
  ) {
    this.feed = new Feed(model.get("lanes").length, model.get("keyframe"), () => time.now());
    const { feed } = this;
    const missed = { kind: "missed" } as const;
    const speaker = {
      send: (message: ToKernel) => model.send(message),
      missing: () => (feed.behind ? missed : null),
      overdue: () => (feed.whole ? null : missed),
      isOver: () => feed.whole && !feed.behind,
    };
    this.line = new Line(word(), speaker, time);
    model.on("msg:custom", (message) => this.receive(message));
    model.on("change:keyframe", () => {
      this.line.came();
      feed.keyframe(model.get("keyframe"));
      this.line.look();
    });
    model.on("comm_live_update", () => {
      feed.disconnected();
      this.line.cut();
    });
  }

  receive(message: FromKernel): void {
    const { feed, line } = this;
    line.came();
    if (message.kind === "closed") return line.close();
    if (message.kind === "beat") {
      line.heard(message.heard);
      feed.heard ||= line.isHeard;
      feed.reaches(message.seq);
    }
    feed.receive(message);
    line.look();
    if (message.kind === "beat" && feed.whole && !feed.behind) this.model.send({ kind: "have", seq: feed.seq, from: line.from });
  }

  /** Says something that a view has to say. */
  say(message: ToKernel): void {
    if (message.kind === "painted") this.model.send(message);
    else this.line.say(message);
  }
}
