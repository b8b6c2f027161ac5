/**
 * A notebook that several pages share (jupyter-collaboration): what one page writes into it comes to all.
 *
 * A live view is drawn in each page, and nothing is written for that: to trust a cell, too, would write its outputs. The
 * page that ran a cell has JupyterLab write what the kernel displays; what is missing after a while the pages put
 * right in turns, so that the second finds it done. Two that write at once leave two: then each page takes out the same one.
 */
import type { Awareness, Cell, NotebookPanel, SharedCode } from "./application";
import { type Output, WIDGET, idOf, markOf, viewOf } from "./outputs";

/** How long what a page writes may take to the others. */
const TURN_MS = 1_000;
/** How long a cell's outputs are left alone after a change. */
const STILL_MS = 500;
/** An origin of changes that a cell's own model is not told of. */
const SILENT = "silent-change";

export class SharedDocument {
  /** Null for a notebook that this page has for itself. */
  static of(panel: NotebookPanel): SharedDocument | null {
    const { model } = panel.context;
    const awareness = model.collaborative === true ? model.sharedModel?.awareness : undefined;
    return awareness ? new SharedDocument(panel, awareness) : null;
  }

  #views = new Set<string>();
  #changed = new Set<Cell>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(
    readonly panel: NotebookPanel,
    readonly awareness: Awareness,
  ) {
    const { rendermime } = panel.content;
    const preferred = rendermime.preferredMimeType.bind(rendermime);
    const draws = (data: Output["data"]) => this.#views.has(viewOf({ data })) && rendermime.mimeTypes.includes(WIDGET);
    rendermime.preferredMimeType = (data, safe) => (draws(data) ? WIDGET : preferred(data, safe));
  }

  /** In how many ms it is this page's turn; a page that has gone keeps its place for half a minute. */
  get turn(): number {
    const { clientID } = this.awareness;
    const before = [...this.awareness.getStates().keys()].filter((id) => id < clientID);
    return (1 + before.length) * TURN_MS;
  }

  /** Draws a view that the kernel has told of, wherever it stands in this page. */
  draw(view: string): void {
    if (!view || this.#views.has(view)) return;
    this.#views.add(view);
    for (const cell of this.panel.context.model.cells) {
      if (cell.trusted) continue; // it is drawn there
      for (let index = 0; index < (cell.outputs?.length ?? 0); index++)
        if (viewOf(cell.outputs!.get(index)) === view) cell.outputs!.stateChanged.emit(index);
    }
  }

  outputs(cell: Cell): Output[] {
    return code(cell).getOutputs();
  }

  /** Writes outputs over the one of this answer that is unfinished, if there is one: its index may be another here. */
  replace(cell: Cell, id: string, outputs: Output[]): void {
    const at = this.outputs(cell).findIndex((each) => idOf(each) === id && markOf(each)!.unfinished);
    if (at >= 0) this.splice(cell, at, 1, outputs);
  }

  /** Writes outputs over `count` others. */
  splice(cell: Cell, at: number, count: number, outputs: Output[]): void {
    code(cell).updateOutputs(at, at + count, outputs, SILENT);
    this.#mirror(cell);
  }

  /** The outputs of a cell have changed. */
  look(cell: Cell): void {
    this.#changed.add(cell);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      for (const each of this.#changed) if (!each.isDisposed) this.#agree(each);
      this.#changed.clear();
    }, STILL_MS);
  }

  /** Takes out what was written twice: of several the first that is whole stays, else the first. */
  #agree(cell: Cell): void {
    const { length } = cell.outputs ?? [];
    const here = Array.from({ length }, (_, index) => idOf(cell.outputs!.get(index))).filter(Boolean);
    if (!here.length) return;
    const all = this.outputs(cell);
    for (let index = all.length - 1; index >= 0; index--) {
      const id = idOf(all[index]!);
      const same = all.filter((each) => id && idOf(each) === id);
      const stays = same.find((each) => !markOf(each)!.unfinished) ?? same[0];
      if (!id || all[index] === stays) continue;
      all.splice(index, 1);
      code(cell).updateOutputs(index, index + 1, [], SILENT);
    }
    if (all.map(idOf).filter(Boolean).join() !== here.join()) this.#mirror(cell);
  }

  /** Makes this page's outputs anew: JupyterLab appends what another page has put between two. */
  #mirror(cell: Cell): void {
    code(cell).changed.emit({ outputsChange: [{ delete: cell.outputs!.length }, { insert: this.outputs(cell) }] });
  }
}

function code(cell: Cell): SharedCode {
  return cell.sharedModel as unknown as SharedCode;
}
