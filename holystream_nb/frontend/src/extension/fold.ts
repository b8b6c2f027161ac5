/**
 * The saved copy under a panel: only its fold is drawn until somebody opens it.
 *
 * JupyterLab would draw all of it after each question and typeset its formulas, which stops the page for seconds, to
 * show one line. What the notebook's file holds stays as it is.
 */

/** @jupyterlab/rendermime-interfaces: IRenderMime.IRenderer */
export interface Renderer {
  node: HTMLElement;
  renderModel(model: Model): Promise<void>;
}

export interface Model {
  data: Record<string, unknown>;
}

interface Factory {
  createRenderer(options: unknown): Renderer;
}

/** @jupyterlab/rendermime: IRenderMimeRegistry */
export interface Renderers {
  getFactory(mimeType: string): Factory | undefined;
  addFactory(factory: Factory): void;
}

const MARKDOWN = "text/markdown";
/** How a copy begins that is closed; `chat/markdown.py` writes it. */
const BEGINNING = /^<details><summary>(Saved copy · [^<>&]*)<\/summary>\n/;

/** From now on copies are drawn so, in notebooks opened later. */
export function foldCopies(renderers: Renderers): void {
  const factory = renderers.getFactory(MARKDOWN);
  if (factory) renderers.addFactory({ ...factory, createRenderer: (options) => folding(factory.createRenderer(options)) });
}

/** The same renderer, which draws a closed copy when it is opened. */
export function folding(renderer: Renderer): Renderer {
  const { node } = renderer;
  const draw = renderer.renderModel.bind(renderer);
  const drawn = () => node.querySelector<HTMLDetailsElement>(":scope > details");
  const drawOpen = async (model: Model) => {
    const hadFocus = node.contains(document.activeElement);
    await draw(model);
    const fold = drawn();
    if (!fold) return;
    fold.open = true;
    if (hadFocus) fold.querySelector("summary")?.focus();
  };
  renderer.renderModel = (model) => {
    const words = wordsOf(model);
    if (words === null) return draw(model);
    if (drawn()?.open) return drawOpen(model);
    const fold = document.createElement("details");
    fold.appendChild(document.createElement("summary")).textContent = words;
    fold.addEventListener("toggle", () => fold.isConnected && void drawOpen(model), { once: true });
    node.replaceChildren(fold);
    return Promise.resolve();
  };
  return renderer;
}

/** What a closed copy's fold says; null if it is none. */
function wordsOf({ data }: Model): string | null {
  const markdown = data[MARKDOWN];
  return typeof markdown === "string" ? (BEGINNING.exec(markdown)?.[1] ?? null) : null;
}
