/** The answers whose views' models are in this page, of a panel those that its copy lacks: what the extension writes into a file that is saved meanwhile. */

/** `question` stands before the first answer to it, in a panel. */
export interface LiveAnswer {
  label: string;
  note: string;
  question?: string;
  text: string;
  reasoning: string;
  isRunning: boolean;
}

/** By the trait `answer` of a live view, or `panel` of a panel: what each of its lanes holds now. The widgets' script and the extension share it. */
export function liveAnswers(): { get(id: string): LiveAnswer[] | undefined; set(id: string, answers: () => LiveAnswer[]): void; delete(id: string): void } {
  const page = globalThis as { [ANSWERS]?: Map<string, () => LiveAnswer[]> };
  const all = (page[ANSWERS] ??= new Map());
  return { get: (id) => all.get(id)?.(), set: (id, answers) => void all.set(id, answers), delete: (id) => void all.delete(id) };
}

const ANSWERS = Symbol.for("holystream_nb/answers");
