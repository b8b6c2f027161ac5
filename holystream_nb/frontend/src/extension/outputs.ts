/**
 * Outputs of ours in a notebook: whose they are, and what a file may hold of them.
 *
 * Everything that is read here comes from a file, and may be a stranger's.
 */
import { type LiveAnswer, liveAnswers } from "../answers";

/** The key of an output's metadata under which it says whose it is; `live/cells.py` has the words. */
export const MARK = "holystream_answer";
export const WIDGET = "application/vnd.jupyter.widget-view+json";

/**
 * `order` counts the answers of one execution; `answers` are their ids in the journal; `unfinished`: not the last word.
 * `panel`: it is a chat panel, which its widget's script calls so.
 */
export interface Mark {
  id: string;
  cell: string;
  execution: string;
  order: number;
  answers: string[];
  unfinished?: boolean;
  panel?: string;
}

export interface Bundle {
  data: Record<string, unknown>;
  metadata: Record<string, unknown>;
}

/** An output as nbformat has it (https://nbformat.readthedocs.io/en/latest/format_description.html#code-cell-outputs). */
export interface Output extends Bundle {
  output_type: string;
}

const INERT = ["text/plain", "image/png", "image/jpeg"];

export function markOf(output: Partial<Output> | null | undefined): Mark | null {
  const mark = output?.metadata?.[MARK] as Partial<Mark> | undefined;
  if (typeof mark?.id !== "string" || typeof mark.cell !== "string" || typeof mark.execution !== "string") return null;
  const { id, cell, execution } = mark;
  const answers = Array.isArray(mark.answers) ? mark.answers.filter((each) => typeof each === "string") : [];
  const panel = typeof mark.panel === "string" ? { panel: mark.panel } : {};
  return { id, cell, execution, answers, order: Number(mark.order) || 0, ...(mark.unfinished ? { unfinished: true } : {}), ...panel };
}

/** Which answer it shows; "" if none of ours. */
export function idOf(output: Partial<Output>): string {
  return markOf(output)?.id ?? "";
}

/** The model of the live view that it shows; "" if it shows none. */
export function viewOf({ data }: Partial<Output>): string {
  const view = data?.[WIDGET] as { model_id?: unknown } | undefined;
  return typeof view?.model_id === "string" ? view.model_id : "";
}

/** Whether it cannot act, whoever wrote it, also in a trusted cell. */
export function isInert({ output_type: type, data }: Partial<Output>): boolean {
  return type === "stream" || type === "error" || Object.keys(data ?? {}).every((each) => INERT.includes(each));
}

/** A notebook for its file: where a live view of ours stands, its text so far, since nobody can draw the view later. */
export function withText<T>(notebook: T): T {
  const { cells } = notebook as { cells?: { outputs?: Output[] }[] };
  const filed = cells?.map((cell) => (cell.outputs?.some(isOurView) ? { ...cell, outputs: cell.outputs.map((output) => textOf(output)) } : cell));
  return { ...notebook, ...(filed ? { cells: filed } : {}) };
}

function isOurView(output: Output): boolean {
  return Boolean(viewOf(output)) && markOf(output) !== null;
}

/** The text that stands for a view, as far as this page knows it; other outputs stay as they are. */
export function textOf(output: Output, how = "still being written when this was saved"): Output {
  const mark = markOf(output);
  if (!mark || !viewOf(output)) return output;
  const text = liveAnswers()
    .get(mark.panel ?? mark.id)
    ?.map((answer, _, all) => inWords(answer, all.length > 1 && !mark.panel, how));
  const { [WIDGET]: _view, ...data } = output.data;
  if (mark.panel) return { ...output, data: { ...data, "text/plain": [data["text/plain"], ...(text ?? [])].join("\n\n") } };
  return { ...output, data: { ...data, "text/plain": text?.join("\n\n") ?? `[${how}]` } };
}

function inWords({ label, note, question, text, reasoning, isRunning }: LiveAnswer, isTitled: boolean, how: string): string {
  const status = [label, note, isRunning ? how : ""].filter(Boolean).join(" · ");
  const parts = [question && `You: ${question}`, isTitled ? `== ${label}` : "", reasoning.trim() && `[reasoning]\n${reasoning.trim()}`, text, `[${status}]`];
  return unlinked(printable(parts.filter(Boolean).join("\n\n")));
}

/** Without the control characters that a terminal would obey, and halves of surrogate pairs; `saved.printable`'s twin. */
function printable(text: string): string {
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, "").replace(/\p{Surrogate}/gu, "\ufffd");
}

/** Addresses that JupyterLab makes no links of; `saved.unlinked`'s twin. */
function unlinked(text: string): string {
  return text.replace(/:\/\/|data:|www\./gi, (found) => `${found[0]}\u2060${found.slice(1)}`);
}
