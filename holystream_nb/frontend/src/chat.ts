/**
 * The chat panel, as an anywidget module (https://anywidget.dev/en/afm): one factory call per panel.
 *
 * What belongs to the panel lives in the conversation, which all views of it share: a view that appears late, or again,
 * starts with all of it.
 */
import { liveAnswers } from "./answers";
import { Conversation, type Model } from "./chatconversation";
import { Panel } from "./chatpanel";

const PAGE = Symbol.for("holystream_nb/page");

/** A random word for this page of the browser, the same for all panels on it. */
function page(): string {
  const words = globalThis as { [PAGE]?: string };
  return (words[PAGE] ??= Math.random().toString(36).slice(2));
}

export default () => {
  let conversation: Conversation;
  return {
    initialize({ model }: { model: Model }): () => void {
      conversation = new Conversation(model, page());
      const panel = model.get("panel");
      liveAnswers().set(panel, () => conversation.unsaved());
      return () => {
        liveAnswers().delete(panel);
        conversation.line.close();
      };
    },

    render({ el }: { el: HTMLElement }): () => void {
      const panel = new Panel(el, conversation);
      return () => panel.remove();
    },
  };
};
