/** What is used of JupyterLab's and Notebook 7's own objects, typed by hand: their npm types are 375 MB. */
import type { Output } from "./outputs";

export interface Signal<Sender, Args> {
  connect(slot: (sender: Sender, args: Args) => void): boolean;
  disconnect(slot: (sender: Sender, args: Args) => void): boolean;
}

export interface Message {
  channel: string;
  header: { msg_type: string; subshell_id?: string | null };
  content: Record<string, unknown>;
}

export interface Future {
  onReply: (message: Message) => void;
  done: Promise<Message>;
  dispose(): void;
}

/** @jupyterlab/services: Kernel.IKernelConnection */
export interface Kernel {
  id: string;
  clientId: string;
  username: string;
  isDisposed: boolean;
  status: string;
  handleComms?: boolean;
  iopubMessage: Signal<Kernel, Message>;
  statusChanged: Signal<Kernel, string>;
  disposed: Signal<Kernel, void>;
  info: Promise<{ language_info: { name: string } }>;
  sendControlMessage(message: Message, expectReply?: boolean): Future;
  sendShellMessage(message: Message, expectReply?: boolean): Future;
  requestExecute(content: { code: string; silent?: boolean; store_history?: boolean }): Future;
}

export interface SessionContext {
  session: { kernel: Kernel | null } | null;
  kernelChanged: Signal<SessionContext, { newValue: Kernel | null }>;
  statusChanged: Signal<SessionContext, string>;
  connectionStatusChanged: Signal<SessionContext, string>;
  ready: Promise<void>;
}

export interface Cell {
  id: string;
  type: string;
  mimeType: string;
  executionState?: string;
  trusted: boolean;
  sharedModel: { getSource(): string; cell_type: string; execution_count?: number | null };
  outputs?: Outputs;
  contentChanged: Signal<Cell, void>;
  mimeTypeChanged: Signal<Cell, unknown>;
  isDisposed: boolean;
}

/** @jupyter/ydoc: YCodeCell. A change without an `origin` comes to the cell's own model too; `end` is exclusive. */
export interface SharedCode {
  getOutputs(): Output[];
  updateOutputs(start: number, end: number, outputs: Output[], origin?: string): void;
  changed: { emit(change: { outputsChange: ({ delete: number } | { insert: Output[] })[] }): void };
}

/** y-protocols: Awareness. Which pages share a document, as far as this one knows. */
export interface Awareness {
  clientID: number;
  getStates(): Map<number, unknown>;
}

/** @jupyterlab/outputarea: IOutputAreaModel */
export interface Outputs {
  length: number;
  changed: Signal<Outputs, { type: string; oldValues: OutputModel[] }>;
  /** An output of this index is to be drawn anew. */
  stateChanged: { emit(index: number): void };
  get(index: number): OutputModel;
  set(index: number, output: unknown): void;
  add(output: unknown): number;
  remove?(index: number): void;
  toJSON(): Record<string, unknown>[];
  fromJSON(outputs: unknown[]): void;
}

export interface OutputModel {
  type: string;
  data: Record<string, unknown>;
  metadata: Record<string, unknown>;
}

export interface Cells extends Iterable<Cell> {
  changed: Signal<Cells, { type: string; newValues: Cell[]; oldValues: Cell[] }>;
  length: number;
  get(index: number): Cell;
}

/** @jupyterlab/notebook: NotebookPanel */
export interface NotebookPanel {
  id: string;
  isDisposed: boolean;
  disposed: Signal<NotebookPanel, void>;
  sessionContext: SessionContext;
  context: {
    path: string;
    localPath: string;
    ready: Promise<void>;
    pathChanged: Signal<unknown, string>;
    saveState: Signal<unknown, string>;
    contentsModel: { last_modified: string } | null;
    model: {
      cells: Cells;
      contentChanged: Signal<unknown, void>;
      collaborative?: boolean;
      sharedModel?: { awareness?: Awareness };
      toJSON(): unknown;
    };
  };
  content: {
    rendermime: Rendermime;
    model: { cells: Cells } | null;
    modelChanged: Signal<unknown, void>;
    widgets: readonly { model: Cell; node: HTMLElement }[];
  };
}

export interface Rendermime {
  readonly mimeTypes: readonly string[];
  preferredMimeType(data: Record<string, unknown>, safe?: string): string | undefined;
  createRenderer(mimeType: string): Widget & { renderModel(model: unknown): Promise<void> };
  createModel(options: { data: Record<string, unknown>; trusted: boolean }): unknown;
}

/** @lumino/widgets: Widget */
export interface Widget {
  id: string;
  node: HTMLElement;
  isDisposed: boolean;
  isVisible: boolean;
  title: { label: string; caption: string; icon?: unknown; closable: boolean };
  dispose(): void;
  addClass(name: string): void;
  disposed: Signal<Widget, void>;
}

/** @jupyterlab/notebook: INotebookTracker */
export interface NotebookTracker {
  currentWidget: NotebookPanel | null;
  currentChanged: Signal<NotebookTracker, NotebookPanel | null>;
  widgetAdded: Signal<NotebookTracker, NotebookPanel>;
  forEach(each: (panel: NotebookPanel) => void): void;
}

/** @jupyterlab/application: JupyterFrontEnd */
export interface Application {
  name: string;
  commands: {
    addCommand(id: string, options: Record<string, unknown>): unknown;
    execute(id: string, args?: Record<string, unknown>): Promise<unknown>;
  };
  shell: {
    add(widget: unknown, area: string, options?: Record<string, unknown>): void;
    activateById(id: string): void;
    expandRight?(id?: string): void;
  };
  restored: Promise<unknown>;
  serviceManager?: { serverSettings: { baseUrl: string }; kernelspecs?: { specs: { default: string } | null } };
}
