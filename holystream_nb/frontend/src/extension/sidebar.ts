/**
 * The panel in the sidebar: a chat about the notebook in front.
 *
 * `chat/sidebar.py` is the kernel's half. What is sent of the notebook stands above the panel, and can be read there.
 * Of several notebooks with one kernel JupyterLab lets one hear the kernel's comms: that one's widget manager draws the
 * panels of all.
 */
import type { Application, Kernel, NotebookPanel, NotebookTracker, Widget } from "./application";
import type { PageLink, Said } from "./page";

export const COMMAND = "holystream_nb:chat";
export const LABEL = "Chat about this notebook";
const ID = "holystream-sidebar";
const VIEW = "application/vnd.jupyter.widget-view+json";
const LOAD = `__import__("holystream_nb.chat.sidebar", fromlist=["sidebar"]).sidebar.begin()`;
const CLOSED =
  "This kernel's widgets were drawn by another notebook, which has left it: open that one again, or close this one and open it again. " +
  "Then open the chat: its conversation is kept.";
const STILL_MS = 400;
const BUSY_MS = 1_500;
const PATIENCE_MS = 15_000;

const STYLE = `
body:not([data-notebook]) #${ID} { min-width: 320px; }
#${ID} { display: flex; flex-direction: column; background: var(--jp-layout-color1); color: var(--jp-ui-font-color1); font-size: var(--jp-ui-font-size1); }
#${ID} :is(.hs-place, .lm-Widget) { flex: 1; min-height: 0; display: flex; flex-direction: column; margin: 0; padding: 0; }
#${ID} > .hs-place[hidden] { display: none; }
#${ID} .hs-chat { flex: 1; min-height: 0; max-height: none; margin: 0; border-width: 1px 0 0; border-radius: 0; }
#${ID} .hs-place > :has(.hs-chat), #${ID} .hs-place > * :has(.hs-chat) { flex: 1; min-height: 0; display: flex; flex-direction: column; }
#${ID} .hs-log { flex: 1; max-height: none; }
#${ID} .hs-composer { margin-top: auto; }
#${ID} .hs-told { padding: 8px 10px; color: var(--jp-ui-font-color2); line-height: 1.4; }
#${ID} .hs-told button { all: revert; }
#${ID} .hs-context { padding: 6px 10px; }
#${ID} .hs-context label { display: flex; gap: 6px; align-items: center; cursor: pointer; }
#${ID} .hs-context input { margin: 0; }
#${ID} .hs-context summary { cursor: pointer; color: var(--jp-ui-font-color2); padding-top: 4px; }
#${ID} .hs-context pre { max-height: 40vh; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; margin: 4px 0 0; padding: 6px; font-size: var(--jp-code-font-size); background: var(--jp-layout-color2); }
`;

function make<Name extends keyof HTMLElementTagNameMap>(name: Name, className = "", text = ""): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

/** What is used of @lumino/widgets. */
export interface Widgets {
  Widget: { new (): Widget; attach(widget: unknown, host: HTMLElement): void };
}

/** One notebook's place in the sidebar. */
class Place {
  readonly node = make("div", "hs-place");
  #told = make("div", "hs-told");
  #context = make("div", "hs-context");
  #send = Object.assign(make("input"), { type: "checkbox", checked: true });
  #label = make("span", "", "Send this notebook along");
  #details = make("details");
  #text = make("pre");
  #host = make("div", "hs-place");
  #drawn: (Widget & { renderModel(model: unknown): Promise<void> }) | null = null;
  #timer = 0;
  #isOpening = false;

  constructor(
    readonly panel: NotebookPanel,
    readonly tracker: NotebookTracker,
    readonly pages: PageLink,
    readonly widgets: Widgets,
  ) {
    const label = make("label");
    label.append(this.#send, this.#label);
    this.#details.append(make("summary", "", "What is sent"), this.#text);
    this.#context.append(label, this.#details);
    this.#context.hidden = true;
    this.#told.setAttribute("role", "status");
    this.node.append(this.#context, this.#told, this.#host);
    this.#send.addEventListener("change", () => this.#tell());
    panel.context.model.contentChanged.connect(this.#changed);
    panel.sessionContext.kernelChanged.connect(this.#again);
    panel.sessionContext.statusChanged.connect(this.#status);
  }

  /** Draws the panel of the kernel as it is now. */
  async open(): Promise<void> {
    if (this.#isOpening || (this.#drawn && !this.#drawn.isDisposed)) return;
    this.#isOpening = true;
    this.#say("");
    try {
      const drawing = await this.#drawing();
      await this.#draw((await this.#ask()).model_id as string, drawing);
      this.#context.hidden = false;
      this.#tell();
    } catch (error) {
      this.#refuse((error as Error).message);
    } finally {
      this.#isOpening = false;
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#drawn?.dispose();
    this.#drawn = null;
    this.node.remove();
  }

  /** The notebook that hears the comms of this one's kernel. */
  async #drawing(): Promise<NotebookPanel> {
    await this.panel.sessionContext.ready;
    const kernel = kernelOf(this.panel);
    if (!kernel) throw new Error("This notebook has no kernel: choose one, and open the chat again.");
    const found: NotebookPanel[] = [];
    this.tracker.forEach((panel) => {
      const its = kernelOf(panel);
      if (its?.id === kernel.id && its.handleComms !== false) found.push(panel);
    });
    if (!found[0]) throw new Error(CLOSED);
    return found[0];
  }

  async #ask(): Promise<Said> {
    const waiting = setTimeout(() => this.#say("Waits for the kernel, which is running a cell."), BUSY_MS);
    try {
      let answer = this.pages.knows(this.panel) ? await this.pages.ask(this.panel, "chat") : null;
      if (!answer || answer.kind === "unknown") {
        await this.#load();
        answer = await this.pages.ask(this.panel, "chat");
      }
      if (answer.kind !== "panel") throw new Error((answer.error as string | undefined) ?? "The kernel gave no panel.");
      this.#say("");
      return answer;
    } finally {
      clearTimeout(waiting);
    }
  }

  /** Loads the package in a kernel that has not used it yet: nothing of it is seen in the notebook. */
  async #load(): Promise<void> {
    const kernel = kernelOf(this.panel)!;
    const { language_info } = await kernel.info;
    if (language_info.name !== "python") throw new Error(`This notebook's kernel speaks ${language_info.name}: a chat needs a Python kernel.`);
    const known = new Promise<void>((resolve, reject) => {
      this.pages.on("welcome", (_said, panel) => panel === this.panel && resolve());
      setTimeout(() => reject(new Error("The kernel does not answer: restart it, and open the chat again.")), PATIENCE_MS);
    });
    known.catch(() => undefined);
    const { content } = await kernel.requestExecute({ code: LOAD, silent: true, store_history: false }).done;
    if (content.status !== "ok") {
      const isMissing = content.ename === "ModuleNotFoundError";
      throw new Error(
        isMissing
          ? "This kernel's Python does not have holystream_nb: run %pip install holystream_nb in a cell, and open the chat again."
          : `holystream_nb could not be loaded: ${String(content.evalue ?? content.status)}`,
      );
    }
    if (!this.pages.knows(this.panel)) await known;
  }

  async #draw(model_id: string, drawing: NotebookPanel): Promise<void> {
    if (drawing !== this.panel) kernelOf(drawing)?.disposed.connect(this.#left);
    const { rendermime } = drawing.content;
    const renderer = rendermime.createRenderer(VIEW);
    this.#drawn = renderer;
    this.widgets.Widget.attach(renderer, this.#host);
    const data = { [VIEW]: { model_id, version_major: 2, version_minor: 0 } };
    await renderer.renderModel(rendermime.createModel({ data, trusted: true }));
  }

  #say(text: string): void {
    this.#told.textContent = text;
    this.#told.hidden = !text;
  }

  #changed = (): void => {
    clearTimeout(this.#timer);
    if (this.#drawn) this.#timer = window.setTimeout(() => this.#tell(), STILL_MS);
  };

  #again = (): void => this.#undraw("The kernel is another now: open the chat again.");
  #left = (): void => this.#undraw(CLOSED);

  #undraw(why: string): void {
    if (!this.#drawn) return;
    this.#drawn.dispose();
    this.#drawn = null;
    this.#context.hidden = true;
    this.#refuse(why);
  }

  #refuse(why: string): void {
    this.#say(why);
    const open = make("button", "", "Open");
    open.addEventListener("click", () => void this.open());
    this.#told.append(" ", open);
  }

  #status = (_: unknown, status: string): void => {
    if (status === "restarting" || status === "autorestarting" || status === "dead") this.#again();
  };

  /** Tells the kernel what the notebook is now, and shows what it makes of that. */
  #tell(): void {
    const sent = [...this.panel.context.model.cells].map((cell) => ({
      type: cell.type,
      source: cell.sharedModel.getSource(),
      outputs: (cell.outputs?.toJSON() ?? []).map(text).filter(Boolean).join("\n"),
    }));
    const answered = this.pages.ask(this.panel, "context", { cells: sent, is_sent: this.#send.checked });
    void answered.then(
      (context) => {
        const left = context.left_out ? `, without the first ${String(context.left_out)}` : "";
        const cells = context.cells === 1 ? "1 cell" : `${String(context.cells)} cells`;
        this.#label.textContent = `Send this notebook along (${cells}${left})`;
        this.#text.textContent = this.#send.checked ? (context.text as string) : "Nothing of the notebook.";
      },
      () => undefined, // the kernel has ended, and that is said
    );
  }
}

function kernelOf(panel: NotebookPanel): Kernel | null {
  return panel.sessionContext.session?.kernel ?? null;
}

/** An output's text, without colours. */
function text(output: Record<string, unknown>): string {
  const joined = (value: unknown) => (Array.isArray(value) ? value.join("") : typeof value === "string" ? value : "");
  const data = (output.data ?? {}) as Record<string, unknown>;
  if (VIEW in data) return "";
  const error = output.output_type === "error" ? `${String(output.ename)}: ${String(output.evalue)}` : "";
  return (error || joined(output.text ?? data["text/markdown"] ?? data["text/plain"])).replace(/\x1b\[[\d;]*m/g, "").slice(0, 20_000);
}

/** The sidebar's one widget, which shows the place of the notebook in front. */
export class Sidebar {
  #widget: Widget | null = null;
  #places = new Map<NotebookPanel, Place>();

  constructor(
    readonly app: Application,
    readonly tracker: NotebookTracker,
    readonly pages: PageLink,
    readonly widgets: Widgets,
    readonly icon: unknown,
  ) {
    tracker.currentChanged.connect(() => this.#show());
  }

  /** Opens the chat of the notebook in front; where there is none, of a new one in this folder. */
  async open(cwd?: string): Promise<void> {
    const panel = this.tracker.currentWidget ?? (await this.#create(cwd));
    if (!panel) return;
    const widget = this.#shown();
    if (!this.#places.has(panel)) {
      const place = new Place(panel, this.tracker, this.pages, this.widgets);
      this.#places.set(panel, place);
      widget.node.append(place.node);
      panel.disposed.connect(() => {
        place.dispose();
        this.#places.delete(panel);
      });
    }
    this.#show();
    this.app.shell.expandRight?.(ID);
    this.app.shell.activateById(ID);
    await this.#places.get(panel)!.open();
  }

  async #create(cwd?: string): Promise<NotebookPanel | null> {
    const kernelName = this.app.serviceManager?.kernelspecs?.specs?.default;
    return (await this.app.commands.execute("notebook:create-new", { cwd, kernelName })) as NotebookPanel | null;
  }

  #show(): void {
    for (const [panel, place] of this.#places) place.node.hidden = panel !== this.tracker.currentWidget;
  }

  #shown(): Widget {
    if (this.#widget && !this.#widget.isDisposed) return this.#widget;
    const widget = new this.widgets.Widget();
    widget.id = ID;
    widget.title.caption = LABEL;
    widget.title.closable = true;
    if (this.icon) widget.title.icon = this.icon;
    else widget.title.label = "Chat";
    document.head.append(make("style", "", STYLE));
    this.app.shell.add(widget, "right", { rank: 700 });
    this.#widget = widget;
    return widget;
  }
}
