/**
 * The live view, as an anywidget module (https://anywidget.dev/en/afm): one factory call per widget.
 *
 * anywidget holds messages back until `initialize` has returned; whatever comes before the first `render` is kept in the
 * feed, and every later view starts with all of it.
 */
import { Feed } from "./feed";
import type { Format, FromKernel, Keyframe, Label, ToKernel } from "./protocol";
import { View } from "./view";
import { Voice } from "./voice";

/** The part of anywidget's model that is used here. */
export interface Model {
  get(trait: "lanes"): Label[];
  get(trait: "keyframe"): Partial<Keyframe>;
  get(trait: "format"): Format;
  get(trait: "verdict"): string;
  on(event: string, callback: (message: FromKernel) => void): void;
  send(message: ToKernel): void;
}

export default () => {
  let feed: Feed;
  let voice: Voice;
  return {
    initialize({ model }: { model: Model }): void {
      feed = new Feed(model.get("lanes").length, model.get("keyframe"), () => model.send({ kind: "missed" }));
      feed.judged(model.get("verdict"));
      voice = new Voice(feed, model.get("lanes"));
      model.on("msg:custom", (message) => feed.receive(message));
      model.on("change:keyframe", () => feed.keyframe(model.get("keyframe")));
      model.on("change:verdict", () => feed.judged(model.get("verdict")));
      model.on("comm_live_update", () => feed.disconnected());
    },

    render({ model, el }: { model: Model; el: HTMLElement }): () => void {
      const view = new View(el, model.get("lanes"), model.get("format"), feed, voice, (message) => model.send(message));
      return () => {
        view.remove();
        model.send({ kind: "gone" });
      };
    },
  };
};
