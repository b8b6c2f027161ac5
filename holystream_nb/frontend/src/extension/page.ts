/**
 * The page's half of the talk with kernels; `live/page.py` is the other, and has the words.
 *
 * One comm for each kernel of the page, opened when the kernel announces itself or, after a reload, when it says over
 * the control channel that it knows us. It goes over a subshell where there is one, and so waits for no cell.
 */
import type { Application, Comm, Kernel, Message, NotebookPanel, NotebookTracker } from "./application";

export const TARGET = "holystream_nb";

/** Digest of the sources this bundle was made from; build.mjs fills it in. */
declare const SOURCES: string;
export const BUNDLE = typeof SOURCES === "string" ? SOURCES : "";

/** How a message is made; `KernelMessage.createMessage` of @jupyterlab/services. */
export type MakeMessage = (options: Record<string, unknown>) => unknown;

export interface Said {
  kind: string;
  id?: string;
  [name: string]: unknown;
}

export type Handler = (said: Said, panel: NotebookPanel) => void;

const AGAIN_MS = 1_000;

/** The talk with the kernel of one notebook panel, or of several that share it. */
class Talk {
  readonly panels = new Set<NotebookPanel>();
  #comm: Comm | null = null;
  #isOpening = false;
  #asked = new Map<string, (said: Said) => void>();

  constructor(
    readonly page: PageLink,
    readonly kernel: Kernel,
  ) {
    kernel.iopubMessage.connect((_, message) => {
      const data = message.content.data as Said | undefined;
      if (message.header.msg_type === "comm_msg" && data?.kind === "announce" && !this.isOpen) void this.open();
    });
    kernel.statusChanged.connect((_, status) => {
      if (status === "restarting" || status === "autorestarting" || status === "dead") this.#drop();
    });
  }

  get isOpen(): boolean {
    return this.#comm !== null && !this.#comm.isDisposed;
  }

  /** Asks a kernel that may have known us before this page was loaded. */
  async find(): Promise<void> {
    const request = this.page.make({
      msgType: "comm_info_request",
      channel: "control",
      username: this.kernel.username,
      session: this.kernel.clientId,
      content: { target_name: TARGET },
    });
    const future = this.kernel.sendControlMessage(request, true);
    future.onReply = (reply) => {
      if (Object.keys((reply.content.comms as object) ?? {}).length && !this.isOpen) void this.open();
    };
    await future.done.catch(() => undefined); // the kernel ended
  }

  async open(): Promise<void> {
    if (this.#isOpening || this.kernel.isDisposed || !this.kernel.handleComms) return;
    this.#isOpening = true;
    try {
      const comm = this.kernel.createComm(TARGET);
      comm.onMsg = (message) => this.#hear(message);
      comm.onClose = () => {
        if (this.#comm !== comm) return;
        this.#drop();
        setTimeout(() => void this.find(), AGAIN_MS); // the kernel lost patience with a page that sleeps
      };
      await comm.subshellStarted?.catch(() => undefined);
      if (comm.isDisposed) return;
      this.#comm = comm;
      comm.open(this.hello());
    } finally {
      this.#isOpening = false;
    }
  }

  hello(): Said {
    const notebooks = [...this.panels].map((panel) => [panel.sessionContext.session?.kernel?.clientId, panel.context.localPath]);
    return { kind: "hello", page: this.page.id, application: this.page.application.name, bundle: BUNDLE, notebooks: Object.fromEntries(notebooks) };
  }

  say(said: Said): boolean {
    if (!this.isOpen) return false;
    this.#comm!.send(said);
    return true;
  }

  ask(said: Said): Promise<Said> {
    const id = crypto.randomUUID?.() ?? `${Math.random()}`;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, resolve);
      if (this.say({ ...said, id })) return;
      this.#asked.delete(id);
      reject(new Error("The kernel does not know holystream_nb."));
    });
  }

  close(): void {
    if (this.isOpen && !this.kernel.isDisposed) this.#comm!.close();
    this.#drop();
  }

  #drop(): void {
    this.#comm = null;
    this.#asked.clear();
  }

  #hear(message: Message): void {
    const said = message.content.data as Said;
    if (said.kind === "who") this.say(this.hello());
    const answered = said.id === undefined ? undefined : this.#asked.get(said.id);
    if (answered) {
      this.#asked.delete(said.id!);
      answered(said);
      return;
    }
    for (const panel of this.panels) this.page.heard(said, panel);
  }
}

/** All kernels of this page. */
export class PageLink {
  readonly id = crypto.randomUUID?.() ?? `${Math.random()}`;
  #talks = new Map<string, Talk>();
  #handlers = new Map<string, Handler[]>();

  constructor(
    readonly application: Application,
    tracker: NotebookTracker,
    readonly make: MakeMessage,
  ) {
    tracker.forEach((panel) => this.#add(panel));
    tracker.widgetAdded.connect((_, panel) => this.#add(panel));
    window.addEventListener("pagehide", () => {
      for (const talk of this.#talks.values()) talk.close();
    });
  }

  /** Calls back with every message of this kind, once for each notebook of its kernel. `welcome`: a kernel is there. */
  on(kind: string, handler: Handler): void {
    this.#handlers.set(kind, [...(this.#handlers.get(kind) ?? []), handler]);
  }

  /** Whether the kernel of this notebook knows us. */
  knows(panel: NotebookPanel): boolean {
    return this.#talk(panel)?.isOpen ?? false;
  }

  /** Sends to the kernel of a notebook; false where it does not know us. */
  send(panel: NotebookPanel, kind: string, content: object = {}): boolean {
    return this.#talk(panel)?.say({ ...content, kind }) ?? false;
  }

  /** Sends, and waits for the answer; it fails where the kernel does not know us, and never comes where it ends. */
  async ask(panel: NotebookPanel, kind: string, content: object = {}): Promise<Said> {
    const talk = this.#talk(panel);
    if (!talk) throw new Error("There is no kernel.");
    return talk.ask({ ...content, kind });
  }

  heard(said: Said, panel: NotebookPanel): void {
    for (const handler of this.#handlers.get(said.kind) ?? []) handler(said, panel);
  }

  #talk(panel: NotebookPanel): Talk | undefined {
    return this.#talks.get(panel.sessionContext.session?.kernel?.id ?? "");
  }

  #add(panel: NotebookPanel): void {
    const changed = () => this.#join(panel, panel.sessionContext.session?.kernel ?? null);
    panel.sessionContext.kernelChanged.connect(changed);
    panel.context.pathChanged.connect(() => this.#talk(panel)?.say(this.#talk(panel)!.hello()));
    panel.disposed.connect(() => this.#join(panel, null));
    changed();
  }

  /** A notebook's kernel is another now. */
  #join(panel: NotebookPanel, kernel: Kernel | null): void {
    for (const [id, talk] of this.#talks) {
      if (id === kernel?.id && talk.kernel === kernel) continue;
      if (!talk.panels.delete(panel)) continue;
      if (talk.panels.size) talk.say(talk.hello());
      else {
        talk.close();
        this.#talks.delete(id);
      }
    }
    if (!kernel) return;
    let talk = this.#talks.get(kernel.id);
    if (!talk || talk.kernel.isDisposed) this.#talks.set(kernel.id, (talk = new Talk(this, kernel)));
    talk.panels.add(panel);
    if (talk.isOpen) talk.say(talk.hello());
    else void talk.find();
  }
}
