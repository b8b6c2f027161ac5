/**
 * Answers stay in their cells: what a reload, a closed tab, a moved cell or an ended kernel takes away is put back.
 *
 * `live/cells.py` is the kernel's half, and has the words. It knows the answers of a living kernel; those of one that
 * has ended, or does not hear, are read from its journal by the server. Each page puts an answer into its own copy of the
 * notebook; the same answer twice is the same output. A copy that pages share is written in turns: `document.ts`.
 * Nothing is put over what somebody has made since.
 */
import type { Application, Cell, NotebookPanel, NotebookTracker } from "./application";
import { SharedDocument } from "./document";
import type { PageLink } from "./page";
import { type Bundle, MARK, type Mark, type Output, WIDGET, idOf, isInert, markOf, textOf, viewOf, withText } from "./outputs";

/** An output of ours in the notebook. */
interface Found {
  cell: Cell;
  index: number;
  mark: Mark;
  output: Output;
}

/** What a kernel tells of an answer. */
interface Told extends Mark {
  notebook: string;
  count: number;
  ended: boolean;
  view: string;
  text: string;
}

/** What a journal has of one: `began` in seconds since 1970. */
interface Written extends Bundle {
  mark: Mark;
  notebook: string;
  began: number;
  running: boolean;
}

/** @jupyterlab/services: ServerConnection */
export interface Server {
  makeRequest(url: string, init: object, settings: { baseUrl: string }): Promise<Response>;
}

/** @jupyterlab/notebook: NotebookActions */
export interface Actions {
  executionScheduled?: { connect(slot: (sender: unknown, args: { cell: { model: Cell } }) => void): boolean };
  executed?: { connect(slot: (sender: unknown, args: { cell: { model: Cell } }) => void): boolean };
}

/** How long a kernel may think before the journal's words are shown. */
const PATIENCE_MS = 2_000;
/** How often, and after which time, it is looked whether a journal has noticed its kernel's end. */
const TRIES = 12;
const LOOK_MS = 100;
/** After which time an output that has left one cell is in another, if it is to be. */
const SETTLED_MS = 500;
/** How long after its end a cell's answers are looked for; what it has cleared is known by then. */
const END_MS = 2 * SETTLED_MS;
const AGAIN_MS = 500;

const ENDED = "interrupted: the kernel ended";
const LOST = ["restarting", "autorestarting", "dead", "terminating"];

export class Cells {
  constructor(
    readonly app: Application,
    readonly link: PageLink,
    readonly server: Server | null,
    tracker: NotebookTracker,
    readonly actions: Actions | null,
  ) {
    const kept = new Map<NotebookPanel, Kept>();
    const add = (panel: NotebookPanel) => {
      const one = new Kept(this, panel);
      kept.set(panel, one);
      panel.disposed.connect(() => kept.delete(panel));
      void panel.context.ready.then(() => one.start());
    };
    tracker.forEach(add);
    tracker.widgetAdded.connect((_, panel) => add(panel));
    link.on("welcome", (_, panel) => void kept.get(panel)?.look());
    link.on("answer", (said, panel) => void kept.get(panel)?.settle(said.answer as Told));
  }
}

/** The answers of one notebook. */
class Kept {
  #panel: NotebookPanel;
  #watched = new WeakSet<Cell>();
  /** What was cleared in this page. */
  #cleared = new Set<string>();
  /** What has just left its cell: it was cleared, or is in another soon. */
  #leaving = new Set<string>();
  /** Each cell's newest execution, as the kernel knows it. */
  #runs: Record<string, string> = {};
  /** Cells that were run in this page, and have not been heard of since. */
  #started = new Set<string>();
  /** What stood in an answer's cell: after a merge it stands in another. */
  #sources = new Map<string, string>();
  #heard = false;
  #shared: SharedDocument | null = null;
  #turn: ReturnType<typeof setTimeout> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly all: Cells,
    panel: NotebookPanel,
  ) {
    this.#panel = panel;
  }

  get #cells(): Cell[] {
    return this.#panel.isDisposed ? [] : [...(this.#panel.context.model?.cells ?? [])];
  }

  start(): void {
    if (this.#panel.isDisposed) return;
    const { context, sessionContext } = this.#panel;
    const { model } = context;
    this.#shared = SharedDocument.of(this.#panel);
    const json = model.toJSON.bind(model);
    model.toJSON = () => withText(json());
    this.#watch();
    model.cells.changed.connect(() => {
      this.#watch();
      this.#soon();
    });
    let path = context.localPath;
    context.pathChanged.connect(() => {
      this.all.link.send(this.#panel, "renamed", { from: path, to: context.localPath });
      path = context.localPath;
    });
    context.saveState.connect((_, state) => state === "completed" && this.#saved());
    sessionContext.statusChanged.connect((_, status) => {
      if (!LOST.includes(status)) return;
      this.#heard = false;
      void this.lost();
    });
    sessionContext.kernelChanged.connect(() => this.#soon());
    sessionContext.connectionStatusChanged.connect((_, status) => status === "connected" && this.#soon());
    this.all.actions?.executionScheduled?.connect((_, { cell }) => this.#started.add(cell.model.id));
    this.all.actions?.executed?.connect((_, { cell }) => setTimeout(() => void this.#lookInto(cell.model), END_MS));
    void this.look();
    void this.#read();
  }

  /** A cell has ended; under a flood of outputs the server drops what it likes, a view and what is said of it too. */
  async #lookInto(cell: Cell): Promise<void> {
    if (!this.#cells.includes(cell)) return;
    const said = await this.all.link.read(this.#panel, "cells", { cell: cell.id }).catch(() => null);
    if (!said || this.#panel.isDisposed) return;
    Object.assign(this.#runs, said.runs);
    for (const told of said.answers as Told[]) if (!told.panel && !this.#leaving.has(told.id)) await this.settle(told);
  }

  /** Asks the kernel what it shows, and puts right what is not so here; in a shared document when it may write there. */
  async look(mayWrite = !this.#shared): Promise<void> {
    const said = await this.all.link.read(this.#panel, "cells").catch(() => null);
    if (!said || this.#panel.isDisposed) return;
    if (mayWrite && this.#shared && this.#leaving.size) return this.#inTurn(); // what is missing may have been cleared
    this.#heard = true;
    this.#runs = said.runs as Record<string, string>;
    for (const id of said.cleared as string[]) this.#cleared.add(id);
    for (const { cell, index, mark } of this.#marks().reverse())
      if (mark.unfinished && this.#wasCleared(mark)) this.#remove(cell, index); // it came from the journal meanwhile
    const answers = said.answers as Told[];
    for (const told of answers) await this.settle(told, mayWrite);
    const orphans = this.#unfinished().filter((mark) => !answers.some((told) => isSame(mark, told)));
    if (orphans.length) await this.lost(orphans);
  }

  /** Puts an answer as its kernel has it: a live view, or what has replaced it. */
  async settle(told: Told, mayWrite = !this.#shared): Promise<void> {
    if (mayWrite) await this.#putRight(told);
    else this.#inTurn();
    if (!told.panel) this.#shared?.draw(told.view);
    for (const { cell } of this.#outputs(told)) {
      this.#sources.set(told.id, cell.sharedModel.getSource());
      if (cell.executionState === "running") continue; // a number would take away its [*]
      if (told.count && cell.sharedModel.execution_count === null) cell.sharedModel.execution_count = told.count;
    }
  }

  async #putRight(told: Told): Promise<void> {
    if (!told.ended) {
      const data = { [WIDGET]: { version_major: 2, version_minor: 0, model_id: told.view }, "text/plain": told.text };
      this.#put(told, { data, metadata: { [MARK]: mark(told) } });
      return;
    }
    const { link } = this.all;
    const found = this.#outputs(told);
    if (found.some((each) => each.mark.unfinished) || (!found.length && this.#place(told))) {
      const said = await link.read(this.#panel, "bundle", { answer: told.id }).catch(() => null);
      const { data, metadata } = (said ?? {}) as unknown as Partial<Bundle>;
      if (!data || !metadata || !Object.keys(data).length) return;
      this.#put(told, { data, metadata });
    }
  }

  /** The page that asked, and those whose turn comes before, have put right what they can: this one does the rest. */
  #inTurn(): void {
    clearTimeout(this.#turn);
    this.#turn = setTimeout(() => void this.look(true), this.#shared!.turn);
  }

  async #myTurn(): Promise<void> {
    if (this.#shared) await pause(this.#shared.turn);
  }

  /** The kernel has ended: what it had written becomes the output of its views, or of those named here. */
  async lost(marks?: Mark[]): Promise<void> {
    let open = marks ?? this.#unfinished();
    let isRunning = false;
    const texts = this.#texts(); // now: the models go with the kernel
    for (let tries = 0; open.length && tries < TRIES; tries++) {
      const outputs = await this.#written(open);
      if (outputs === null) break;
      const ended = outputs.filter((output) => !output.running);
      if (ended.length) await this.#myTurn();
      for (const output of ended) this.#restore(output);
      const still = new Set(this.#unfinished().map(({ id }) => id));
      open = open.filter(({ id }) => still.has(id));
      isRunning = open.some((mark) => outputs.some((output) => output.running && isSame(mark, output.mark)));
      if (!isRunning) break;
      await pause(AGAIN_MS);
    }
    if (isRunning && this.#heard) return; // the view is alive, of an answer that this kernel was told to forget
    if (open.length) await this.#myTurn();
    for (const mark of open) this.#leaveText(mark, texts.get(mark.id));
  }

  /** What the journal has, where the kernel does not answer, or is another one now. */
  async #read(): Promise<void> {
    const outputs = await this.#written(this.#unfinished());
    if (outputs?.length) await this.#panel.sessionContext.ready.catch(() => undefined);
    for (let waited = 0; outputs?.length && !this.#heard && waited < PATIENCE_MS; waited += LOOK_MS) await pause(LOOK_MS);
    if (outputs?.length) await this.#myTurn();
    if (this.#panel.isDisposed) return;
    for (const output of outputs ?? []) if (!(output.running && this.#heard)) this.#restore(output);
  }

  /** Not the panels: they go on in their cell run again, and what they show stays until then. */
  #unfinished(): Mark[] {
    return this.#marks()
      .map(({ mark }) => mark)
      .filter((mark) => mark.unfinished && !mark.panel);
  }

  #soon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.look(), 100);
  }

  /** The server's part reads the journal; where it has none or cannot, the kernel that is there now. */
  async #written(marks: Mark[]): Promise<Written[] | null> {
    const { app, link, server } = this.all;
    const notebook = this.#panel.context.localPath;
    const settings = app.serviceManager?.serverSettings;
    let outputs: Written[] | null = null;
    if (server && settings) {
      const query = new URLSearchParams([["notebook", notebook], ...marks.map(({ cell, execution }) => ["mark", `${cell},${execution}`])]);
      const response = await server.makeRequest(`${settings.baseUrl}holystream_nb/answers?${query}`, {}, settings).catch(() => null);
      outputs = response?.ok ? (((await response.json()) as { outputs: Written[] }).outputs ?? []) : null;
    }
    const missing = marks.filter((mark) => !outputs?.some((output) => isSame(mark, output.mark)));
    if (missing.length && link.knows(this.#panel)) {
      const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), PATIENCE_MS));
      const said = await Promise.race([link.read(this.#panel, "written", { notebook, marks: missing }).catch(() => null), late]);
      if (said) outputs = [...(outputs ?? []), ...(said.outputs as Written[])];
    }
    return this.#panel.isDisposed ? null : outputs;
  }

  /** Puts what the journal has: over our own unfinished output of that execution, or into a cell that the file has empty. */
  #restore(output: Written): void {
    const { mark, data, metadata, running } = output;
    const mine = this.#outputs(mark).find((each) => each.mark.unfinished);
    if (mine) {
      if (running && this.#heard) return;
      if (running && viewOf(mine.output)) return;
      this.#put({ ...mark, id: mine.mark.id }, { data, metadata: { ...metadata, [MARK]: { ...mark, id: mine.mark.id } } });
      return;
    }
    const cell = this.#cells.find(({ id }) => id === mark.cell);
    const isNewer = Date.parse(this.#panel.context.contentsModel?.last_modified ?? "") / 1000 < output.began;
    const isCurrent = this.#runs[mark.cell] === undefined || this.#runs[mark.cell] === mark.execution;
    const others = this.#marks().filter((each) => each.cell === cell);
    if (!cell?.outputs || !isNewer || !isCurrent || this.#started.has(mark.cell) || cell.executionState === "running") return;
    if (others.length !== cell.outputs.length || others.some((each) => each.mark.execution !== mark.execution)) return;
    if (others.some((each) => isSame(each.mark, mark)) || this.#wasCleared(mark)) return;
    this.#put(mark, { data, metadata: { ...metadata, [MARK]: mark } });
  }

  /** What the page itself knows of its views. */
  #texts(): Map<string, Output> {
    const views = this.#marks().filter(({ output }) => viewOf(output));
    return new Map(views.map(({ mark, output }) => [mark.id, textOf(output, ENDED)]));
  }

  /** A view whose kernel is gone, of which no journal has anything: its text stays. */
  #leaveText({ id }: Mark, text: Output | undefined): void {
    for (const { cell, index, mark, output } of this.#marks())
      if (mark.id === id && viewOf(output)) this.#set(cell, index, text ?? textOf(output, ENDED));
  }

  /** Puts an output over those of the same answer that are unfinished; where there is none, into its cell. */
  #put(told: Mark & { notebook?: string }, bundle: Bundle): void {
    const output: Output = { output_type: "display_data", ...bundle };
    const found = this.#outputs(told);
    const view = viewOf(output);
    for (const { cell, index, mark, output: old } of found) {
      if (mark.unfinished && !(view && viewOf(old) === view)) this.#set(cell, index, output);
    }
    const cell = found.length ? null : this.#place(told);
    if (cell) this.#insert(cell, told, output);
  }

  /** The cell that an answer belongs to, if its output may be put there. */
  #place(answer: Mark & { notebook?: string }): Cell | null {
    const { id, cell, execution, notebook } = answer;
    const found = this.#cells.find((each) => each.id === cell) ?? this.#merged(id);
    if (!found?.outputs || this.#wasCleared(answer)) return null;
    if (notebook !== undefined && !isAt(notebook, this.#panel.context.localPath)) return null;
    if (this.#started.has(cell) && this.#runs[cell] !== execution) return null;
    return found;
  }

  #merged(id: string): Cell | undefined {
    const source = this.#sources.get(id);
    return source ? this.#cells.find((cell) => cell.outputs?.length === 0 && cell.sharedModel.getSource().includes(source)) : undefined;
  }

  #insert(cell: Cell, told: Mark, output: Output): void {
    const all = this.#shared?.outputs(cell) ?? (cell.outputs!.toJSON() as unknown as Output[]);
    const kept = all.filter((each) => (markOf(each)?.execution ?? told.execution) === told.execution);
    const after = kept.findIndex((each) => (markOf(each)?.order ?? -1) > told.order);
    const at = after < 0 ? kept.length : after;
    const isWhole = kept.length === all.length;
    kept.splice(at, 0, output);
    if (this.#shared) {
      if (isWhole) this.#shared.splice(cell, at, 0, [output]);
      else this.#shared.splice(cell, 0, all.length, kept);
    } else if (isWhole && after < 0) {
      trust(cell);
      cell.outputs!.add(output);
    } else {
      cell.outputs!.fromJSON(kept);
      trust(cell);
    }
  }

  #set(cell: Cell, index: number, output: Output): void {
    if (this.#shared) return this.#shared.replace(cell, idOf(cell.outputs!.get(index)), [output]);
    trust(cell, index);
    cell.outputs!.set(index, output);
  }

  #remove(cell: Cell, index: number): void {
    if (this.#shared) this.#shared.replace(cell, idOf(cell.outputs!.get(index)), []);
    else cell.outputs!.remove?.(index);
  }

  #marks(): Found[] {
    const found: Found[] = [];
    for (const cell of this.#cells) {
      for (let index = 0; index < (cell.outputs?.length ?? 0); index++) {
        const { data, metadata, type } = cell.outputs!.get(index);
        const output: Output = { output_type: type, data, metadata };
        const mark = markOf(output);
        if (mark) found.push({ cell, index, mark, output });
      }
    }
    return found;
  }

  #wasCleared({ id, answers }: Mark): boolean {
    return [id, ...answers].some((each) => this.#cleared.has(each));
  }

  /** The outputs that show this answer: in a notebook where a cell was copied, several. */
  #outputs(answer: Mark): Found[] {
    return this.#marks().filter(({ mark }) => isSame(mark, answer));
  }

  /** Outputs that leave a cell which stays were cleared: by the reader, by the cell, or because it was run again. */
  #watch(): void {
    for (const cell of this.#cells) {
      if (!cell.outputs || this.#watched.has(cell)) continue;
      this.#watched.add(cell);
      cell.outputs.changed.connect((_, { type, oldValues }) => {
        this.#shared?.look(cell);
        if (type !== "remove" && type !== "clear") return;
        const gone = oldValues.map((value) => markOf(value as unknown as Output)).filter((mark) => mark !== null);
        if (!gone.length) return;
        for (const { id } of gone) this.#leaving.add(id);
        setTimeout(() => this.#gone(cell, gone), SETTLED_MS);
      });
    }
  }

  #gone(cell: Cell, marks: Mark[]): void {
    for (const { id } of marks) this.#leaving.delete(id);
    if (this.#panel.isDisposed || !this.#cells.includes(cell)) return;
    const there = new Set(this.#marks().map(({ mark }) => mark.id));
    const cleared = marks.filter(({ id }) => !there.has(id)).map(({ id }) => id);
    for (const id of cleared) this.#cleared.add(id);
    if (cleared.length) this.all.link.send(this.#panel, "cleared", { answers: cleared });
  }

  #saved(): void {
    const answers = this.#marks()
      .filter(({ mark }) => !mark.unfinished)
      .map(({ mark }) => mark.id);
    for (const id of answers) this.#sources.delete(id);
    if (answers.length) this.all.link.send(this.#panel, "saved", { answers });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function mark({ id, cell, execution, order, answers, unfinished, panel }: Mark): Mark {
  return { id, cell, execution, order, answers, ...(unfinished ? { unfinished } : {}), ...(panel ? { panel } : {}) };
}

function isSame(one: Mark, other: Mark): boolean {
  if (one.id === other.id) return true;
  if (one.answers.length && other.answers.length) return one.answers.some((id) => other.answers.includes(id));
  return one.cell === other.cell && one.execution === other.execution && one.order === other.order;
}

/** Whether a kernel's notebook is the one at this path of the server. */
function isAt(notebook: string, path: string): boolean {
  return `/${notebook.replaceAll("\\", "/")}`.endsWith(`/${path}`);
}

/** Trusts a cell, so that a widget is drawn in it, if nothing beside our output could act. */
function trust(cell: Cell, except = -1): void {
  if (cell.trusted) return;
  const all = cell.outputs!.toJSON() as unknown as Output[];
  if (all.every((output, index) => index === except || isInert(output))) cell.trusted = true;
}
