/**
 * The live view, as an anywidget module (https://anywidget.dev/en/afm): one factory call per widget.
 *
 * anywidget holds messages back until `initialize` has returned; whatever comes before the first `render` is kept in the
 * feed, and every later view starts with all of it.
 */
import { liveAnswers } from "./answers";
import { Live, type Model } from "./livefeed";
import { running } from "./protocol";
import { View } from "./view";
import { Voice } from "./voice";

export default () => {
  let live: Live;
  let voice: Voice;
  return {
    initialize({ model }: { model: Model }): () => void {
      live = new Live(model);
      voice = new Voice(live.feed, model.get("lanes"));
      const answer = model.get("answer");
      liveAnswers().set(answer, () =>
        model.get("lanes").map(({ label, note }, lane) => {
          const { text, reasoning, state } = live.feed.lanes[lane]!;
          return { label, note, text, reasoning, isRunning: running(state) };
        }),
      );
      return () => {
        liveAnswers().delete(answer);
        live.line.close();
      };
    },

    render({ model, el }: { model: Model; el: HTMLElement }): () => void {
      const view = new View(el, model.get("lanes"), model.get("format"), live.feed, voice, (message) => live.say(message));
      return () => view.remove();
    },
  };
};
