/**
 * The page's half of the talk with kernels; `live/page.py` is the other, and has the words.
 *
 * One comm for each notebook, opened when its kernel announces itself or, after a reload, when the kernel says over the
 * control channel that it knows us. It goes over a subshell of its own where the kernel has such, and so waits for no
 * cell. The application's own comms would wait for the kernel's first answer on the shell channel, which a page
 * that is reloaded while a cell runs gets when the cell has ended: so the messages are made here.
 */
import type { Application, Kernel, Message, NotebookPanel, NotebookTracker } from "./application";

const TARGET = "holystream_nb";
const AGAIN_MS = 1_000;
/** What is not answered is asked again after a second, then ever more rarely: the kernel may hear all of it at once. */
const LONGEST_MS = 30_000;

/** Digest of the sources this bundle was made from; build.mjs fills it in. */
declare const SOURCES: string;
export const BUNDLE = typeof SOURCES === "string" ? SOURCES : "";

/** `KernelMessage.createMessage` of @jupyterlab/services. */
export type MakeMessage = (options: Record<string, unknown>) => Message;

export interface Said {
  kind: string;
  id?: string;
  [name: string]: unknown;
}

export type Handler = (said: Said, panel: NotebookPanel) => void;

const uuid = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`; // only a secure page has randomUUID

/** The talk of one notebook with one connection to its kernel. */
class Talk {
  #comm: string | null = null;
  #subshell: string | null = null;
  #isOpening = false;
  /** The kernel has our comm: what is said on it before that ipykernel 7.4 calls unknown, in some cell's output. */
  #isKnown = false;
  #told = "";
  #asked = new Map<string, (said: Said | null) => void>();

  constructor(
    readonly link: PageLink,
    readonly panel: NotebookPanel,
    readonly kernel: Kernel,
  ) {
    kernel.iopubMessage.connect(this.#published);
    kernel.statusChanged.connect(this.#changed);
    void this.#find();
  }

  get isOpen(): boolean {
    return this.#isKnown && !this.kernel.isDisposed;
  }

  /** Says where the notebook is now. */
  tell(): void {
    if (this.isOpen) this.say(this.#hello());
  }

  #hello(): Said {
    const { link, panel, kernel } = this;
    this.#told = panel.context.localPath;
    return { kind: "hello", application: link.application.name, bundle: BUNDLE, client: kernel.clientId, notebook: this.#told };
  }

  #known(): void {
    if (this.#isKnown) return;
    this.#isKnown = true;
    if (this.#told !== this.panel.context.localPath) this.tell();
  }

  say(said: Said): boolean {
    if (this.isOpen) this.#send("comm_msg", { data: said });
    return this.isOpen;
  }

  /** `insists`: asks again until there is an answer, which the server may have dropped. */
  ask(said: Said, insists = false): Promise<Said> {
    const id = uuid();
    return new Promise((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      this.#asked.set(id, (answer) => {
        clearTimeout(timer);
        if (answer) resolve(answer);
        else reject(new Error("The kernel has ended."));
      });
      const say = (wait: number): boolean => {
        if (insists) timer = setTimeout(() => say(Math.min(2 * wait, LONGEST_MS)), wait);
        return this.say({ ...said, id });
      };
      if (say(AGAIN_MS)) return;
      clearTimeout(timer);
      this.#asked.delete(id);
      reject(new Error("The kernel does not know holystream_nb."));
    });
  }

  close(): void {
    if (this.#comm && !this.kernel.isDisposed) {
      if (this.#isKnown) this.#send("comm_close", { data: {} });
      if (this.#subshell) void this.#control("delete_subshell_request", { subshell_id: this.#subshell });
    }
    this.#drop();
    if (this.kernel.isDisposed) return;
    this.kernel.iopubMessage.disconnect(this.#published);
    this.kernel.statusChanged.disconnect(this.#changed);
  }

  /** Asks a kernel that may have known us before this page was loaded. */
  async #find(): Promise<void> {
    const { comms } = await this.#control("comm_info_request", { target_name: TARGET });
    if (comms && Object.keys(comms).length) await this.#open();
  }

  async #open(): Promise<void> {
    if (this.#isOpening || this.#comm) return;
    this.#isOpening = true;
    const { supported_features } = await this.#control("kernel_info_request", {});
    const hasSubshells = (supported_features as string[] | undefined)?.includes("kernel subshells");
    const { subshell_id } = hasSubshells ? await this.#control("create_subshell_request", {}) : {};
    this.#isOpening = false;
    if (this.kernel.isDisposed) return;
    this.#subshell = (subshell_id as string | undefined) ?? null;
    const comm = (this.#comm = uuid());
    this.#send("comm_open", { target_name: TARGET, data: this.#hello() });
    setTimeout(() => this.#comm === comm && this.#known(), AGAIN_MS); // the server may have dropped the welcome
  }

  /** The answer to a request on the control channel, which waits for no cell; nothing where the kernel ends. */
  async #control(msgType: string, content: object): Promise<Record<string, unknown>> {
    const { username, clientId: session } = this.kernel;
    const future = this.kernel.sendControlMessage(this.link.make({ msgType, channel: "control", username, session, content }), true);
    return new Promise((resolve) => {
      future.onReply = (reply) => resolve(reply.content);
      future.done.catch(() => resolve({}));
    });
  }

  #send(msgType: string, content: object): void {
    const { username, clientId: session } = this.kernel;
    const message = this.link.make({ msgType, channel: "shell", username, session, content: { ...content, comm_id: this.#comm } });
    if (this.#subshell) message.header.subshell_id = this.#subshell;
    this.kernel.sendShellMessage(message).dispose();
  }

  #published = (_: Kernel, { header, content }: Message): void => {
    const isMessage = header.msg_type === "comm_msg";
    if (isMessage && content.comm_id === this.#comm) this.#hear(content.data as Said);
    else if (isMessage && (content.data as Said | undefined)?.kind === "announce") void this.#open();
    else if (header.msg_type === "comm_close" && content.comm_id === this.#comm) {
      this.#drop();
      setTimeout(() => this.kernel.isDisposed || void this.#find(), AGAIN_MS); // it lost patience with a page that slept
    }
  };

  #changed = (_: Kernel, status: string): void => {
    if (status === "restarting" || status === "autorestarting" || status === "dead") this.#drop();
  };

  #drop(): void {
    this.#comm = this.#subshell = null;
    this.#isKnown = false;
    for (const answered of this.#asked.values()) answered(null);
    this.#asked.clear();
  }

  #hear(said: Said): void {
    this.#known();
    if (said.kind === "who") this.tell();
    const answered = said.id === undefined ? undefined : this.#asked.get(said.id);
    if (answered) {
      this.#asked.delete(said.id!);
      answered(said);
    } else {
      this.link.heard(said, this.panel);
    }
  }
}

/** The talks of all notebooks of this page. */
export class PageLink {
  #talks = new Map<NotebookPanel, Talk>();
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

  /** Calls back with every message of this kind. A kernel says `welcome` when it has come to know the page. */
  on(kind: string, handler: Handler): void {
    this.#handlers.set(kind, [...(this.#handlers.get(kind) ?? []), handler]);
  }

  /** Whether the kernel of this notebook knows us. */
  knows(panel: NotebookPanel): boolean {
    return this.#talks.get(panel)?.isOpen ?? false;
  }

  /** Sends to the kernel of a notebook; false where it does not know us. */
  send(panel: NotebookPanel, kind: string, content: object = {}): boolean {
    return this.#talks.get(panel)?.say({ ...content, kind }) ?? false;
  }

  /** Sends, and waits for the answer; fails where the kernel does not know us, or ends. */
  async ask(panel: NotebookPanel, kind: string, content: object = {}): Promise<Said> {
    const talk = this.#talks.get(panel);
    if (!talk) throw new Error("There is no kernel.");
    return talk.ask({ ...content, kind });
  }

  /** The same for what changes nothing in the kernel: it is asked again until the answer comes. */
  async read(panel: NotebookPanel, kind: string, content: object = {}): Promise<Said> {
    const talk = this.#talks.get(panel);
    if (!talk) throw new Error("There is no kernel.");
    return talk.ask({ ...content, kind }, true);
  }

  heard(said: Said, panel: NotebookPanel): void {
    for (const handler of this.#handlers.get(said.kind) ?? []) handler(said, panel);
  }

  #add(panel: NotebookPanel): void {
    const join = () => this.#join(panel);
    panel.sessionContext.kernelChanged.connect(join);
    panel.context.pathChanged.connect(() => this.#talks.get(panel)?.tell());
    panel.disposed.connect(() => this.#leave(panel));
    join();
  }

  /** The notebook's kernel is another now. */
  #join(panel: NotebookPanel): void {
    this.#leave(panel);
    const kernel = panel.sessionContext.session?.kernel;
    if (kernel && !kernel.isDisposed) this.#talks.set(panel, new Talk(this, panel, kernel));
  }

  #leave(panel: NotebookPanel): void {
    this.#talks.get(panel)?.close();
    this.#talks.delete(panel);
  }
}
