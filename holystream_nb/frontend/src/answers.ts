/** The answers whose live views' models are in this page: what the extension writes into a file that is saved meanwhile. */

export interface LiveAnswer {
  label: string;
  note: string;
  text: string;
  reasoning: string;
  isRunning: boolean;
}

/** By the trait `answer` of a live view: what each of its lanes holds now. The widgets' script and the extension share it. */
export function liveAnswers(): { get(id: string): LiveAnswer[] | undefined; set(id: string, answers: () => LiveAnswer[]): void; delete(id: string): void } {
  const page = globalThis as { [ANSWERS]?: Map<string, () => LiveAnswer[]> };
  const all = (page[ANSWERS] ??= new Map());
  return { get: (id) => all.get(id)?.(), set: (id, answers) => void all.set(id, answers), delete: (id) => void all.delete(id) };
}

const ANSWERS = Symbol.for("holystream_nb/answers");
