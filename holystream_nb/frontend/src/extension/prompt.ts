/**
 * Prompt cells are drawn as prose: below the line `%%stream` a cell is Markdown to the editor, and to it alone.
 *
 * The cell stays a code cell, of a language that the editor's registry learns here. The application sets the type of all
 * code cells when a kernel says its language, so a cell's type is looked at again whenever it or the text changes.
 */
import type { Cell, Cells, NotebookPanel, NotebookTracker } from "./application";

export const PROMPT = "text/x-holystream-prompt";
const MAGIC = /^%%stream(?!\w)/;
const VARIABLE = /^\{[^\W\d]\w*\}/;

/** What is used of @codemirror/lang-markdown, @codemirror/language and @lezer/highlight. */
export interface Editor {
  markdown(options: Record<string, unknown>): { language: { data: { of(data: object): unknown } }; support: unknown };
  markdownLanguage: unknown;
  LanguageSupport: new (language: unknown, support: unknown[]) => unknown;
  tags: Record<string, unknown>;
}

/** @jupyterlab/codemirror: IEditorLanguageRegistry */
export interface Languages {
  addLanguage(language: { name: string; mime: string; support: unknown }): void;
  findBest(name: string): unknown;
}

interface Lines {
  lineStart: number;
  addElement(element: unknown): void;
  elt(name: string, from: number, to: number): unknown;
  nextLine(): boolean;
}

interface Inline {
  slice(from: number, to: number): string;
  end: number;
  elt(name: string, from: number, to: number): unknown;
  addElement(element: unknown): number;
}

/** Markdown with a first line that is no Markdown, and with `{name}`; no quote or bracket closes itself in prose. */
export function language({ markdown, markdownLanguage, LanguageSupport, tags }: Editor, languages: Languages): unknown {
  const magic = {
    name: "StreamMagic",
    before: "LinkReference",
    parse(lines: Lines, line: { text: string }): boolean {
      if (lines.lineStart !== 0 || !MAGIC.test(line.text)) return false;
      lines.addElement(lines.elt("StreamMagic", 0, line.text.length));
      lines.nextLine();
      return true;
    },
  };
  const variable = {
    name: "PromptVariable",
    parse(inline: Inline, next: number, at: number): number {
      const found = next === 123 ? VARIABLE.exec(inline.slice(at, inline.end)) : null;
      return found ? inline.addElement(inline.elt("PromptVariable", at, at + found[0].length)) : -1;
    },
  };
  const { language, support } = markdown({
    base: markdownLanguage,
    codeLanguages: (name: string) => languages.findBest(name),
    extensions: [
      {
        defineNodes: [
          { name: "StreamMagic", block: true, style: tags.monospace },
          { name: "PromptVariable", style: tags.propertyName },
        ],
        parseBlock: [magic],
        parseInline: [variable],
      },
    ],
  });
  return new LanguageSupport(language, [support, language.data.of({ closeBrackets: { brackets: [] } })]);
}

export function drawPrompts(tracker: NotebookTracker): void {
  const before = new WeakMap<Cell, string>();

  function look(cell: Cell): void {
    if (cell.isDisposed || cell.type !== "code") return;
    const isPrompt = MAGIC.test(cell.sharedModel.getSource());
    if (isPrompt && cell.mimeType !== PROMPT) {
      before.set(cell, cell.mimeType);
      cell.mimeType = PROMPT;
    } else if (!isPrompt && cell.mimeType === PROMPT) {
      cell.mimeType = before.get(cell)!;
    }
  }

  function watch(cell: Cell): void {
    cell.contentChanged.connect(look);
    cell.mimeTypeChanged.connect(look);
    look(cell);
  }

  async function add(panel: NotebookPanel): Promise<void> {
    await panel.context.ready;
    if (panel.isDisposed) return;
    const { cells } = panel.context.model;
    for (const cell of cells) watch(cell);
    cells.changed.connect((_: Cells, { newValues }) => newValues.forEach(watch));
  }

  tracker.forEach((panel) => void add(panel));
  tracker.widgetAdded.connect((_, panel) => void add(panel));
}
