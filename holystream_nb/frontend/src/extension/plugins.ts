import type { Application, NotebookTracker } from "./application";
import { offer } from "./bundle";
import { type Actions, Cells, type Server } from "./cells";
import { foldCopies, type Renderers } from "./fold";
import { BUNDLE, type MakeMessage, PageLink } from "./page";
import { drawPrompts, type Editor, language, type Languages, PROMPT } from "./prompt";
import { shared } from "./shared";
import { COMMAND, LABEL, Sidebar, type Widgets } from "./sidebar";

/** A plug-in of JupyterLab (https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html#plugins). */
export interface Plugin {
  id: string;
  description: string;
  autoStart: boolean;
  requires?: unknown[];
  optional?: unknown[];
  provides?: unknown;
  activate(app: Application, ...services: never[]): unknown;
}

/** What a plug-in asks the application for. */
export type Token = object;

/** JupyterLab shows 140 characters. */
const OTHER =
  "This page has another version of holystream_nb than its kernel. Answers appear later: install one for both, restart, reload.";

/** All that this application has the tokens for. */
export async function plugins(): Promise<Plugin[]> {
  const found = await Promise.all([page(), cells(), copies(), prompts(), chat()]);
  return found.filter((plugin) => plugin !== null);
}

async function page(): Promise<Plugin | null> {
  const services = await shared<{ KernelMessage?: { createMessage?: MakeMessage } }>("@jupyterlab/services");
  const apputils = await shared<{ Notification?: { warning?(message: string, options: object): unknown } }>("@jupyterlab/apputils");
  const make = services?.KernelMessage?.createMessage;
  const [tracker, link] = [await notebooks(), await talk()];
  if (!tracker || !link || !make) return null;
  return {
    id: "holystream_nb:page",
    description: "Talks with the kernels of this page's notebooks.",
    autoStart: true,
    requires: [tracker],
    provides: link,
    activate: (app, tracker: NotebookTracker) => {
      document.body.setAttribute("data-holystream-extension", "");
      offer();
      const pages = new PageLink(app, tracker, make);
      let isSaid = false;
      pages.on("welcome", ({ bundle }) => {
        if (bundle !== BUNDLE && !isSaid) apputils?.Notification?.warning?.(OTHER, { autoClose: false });
        isSaid ||= bundle !== BUNDLE;
      });
      return pages;
    },
  };
}

async function cells(): Promise<Plugin | null> {
  const services = await shared<{ ServerConnection?: Server }>("@jupyterlab/services");
  const notebook = await shared<{ NotebookActions?: Actions }>("@jupyterlab/notebook");
  const [tracker, link] = [await notebooks(), await talk()];
  if (!tracker || !link) return null;
  return {
    id: "holystream_nb:cells",
    description: "Keeps answers in their cells over a reload, a closed tab, a moved cell and the kernel's end.",
    autoStart: true,
    requires: [link, tracker],
    activate: (app, page: PageLink, tracker: NotebookTracker) => {
      new Cells(app, page, services?.ServerConnection ?? null, tracker, notebook?.NotebookActions ?? null);
    },
  };
}

async function copies(): Promise<Plugin | null> {
  const rendermime = await shared<{ IRenderMimeRegistry?: Token }>("@jupyterlab/rendermime");
  if (!rendermime?.IRenderMimeRegistry) return null;
  return {
    id: "holystream_nb:copies",
    description: "Draws the saved copy under a chat panel when it is opened.",
    autoStart: true,
    requires: [rendermime.IRenderMimeRegistry],
    activate: (_app, renderers: Renderers) => foldCopies(renderers),
  };
}

async function prompts(): Promise<Plugin | null> {
  const codemirror = await shared<{ IEditorLanguageRegistry?: Token }>("@jupyterlab/codemirror");
  const markdown = await shared<Pick<Editor, "markdown" | "markdownLanguage">>("@codemirror/lang-markdown");
  const languages = await shared<Pick<Editor, "LanguageSupport">>("@codemirror/language");
  const highlight = await shared<Pick<Editor, "tags">>("@lezer/highlight");
  const tracker = await notebooks();
  if (!tracker || !codemirror?.IEditorLanguageRegistry || !markdown || !languages || !highlight) return null;
  return {
    id: "holystream_nb:prompts",
    description: "Draws the cells of %%stream as prose.",
    autoStart: true,
    requires: [tracker, codemirror.IEditorLanguageRegistry],
    activate: (_app, tracker: NotebookTracker, registry: Languages) => {
      const { markdown: make, markdownLanguage } = markdown;
      const editor = { markdown: make, markdownLanguage, LanguageSupport: languages.LanguageSupport, tags: highlight.tags };
      registry.addLanguage({ name: "holystream prompt", mime: PROMPT, support: language(editor, registry) });
      drawPrompts(tracker);
    },
  };
}

async function chat(): Promise<Plugin | null> {
  const widgets = await shared<Widgets>("@lumino/widgets");
  const apputils = await shared<{ ICommandPalette?: Token }>("@jupyterlab/apputils");
  const launcher = await shared<{ ILauncher?: Token }>("@jupyterlab/launcher");
  const components = await shared<{ LabIcon?: new (options: { name: string; svgstr: string }) => unknown }>("@jupyterlab/ui-components");
  const [tracker, link] = [await notebooks(), await talk()];
  if (!tracker || !link || !widgets) return null;
  const optional = [apputils?.ICommandPalette, launcher?.ILauncher].filter((token) => token !== undefined);
  return {
    id: "holystream_nb:chat",
    description: "A chat about the notebook, in the sidebar.",
    autoStart: true,
    requires: [tracker, link],
    optional,
    activate: (app, tracker: NotebookTracker, pages: PageLink, ...places: (Adds | null)[]) => {
      const icon = components?.LabIcon && new components.LabIcon({ name: "holystream_nb:chat", svgstr: ICON });
      const sidebar = new Sidebar(app, tracker, pages, widgets, icon);
      app.commands.addCommand(COMMAND, {
        label: LABEL,
        caption: "Opens a chat in the sidebar, with this notebook's kernel",
        icon,
        execute: ({ cwd }: { cwd?: string } = {}) => sidebar.open(cwd),
      });
      for (const place of places) {
        if (!place) continue;
        if ("addItem" in place) place.addItem({ command: COMMAND, category: "Notebook Operations" });
        else place.add({ command: COMMAND, category: "Other", rank: 10 });
      }
    },
  };
}

/** The command palette, or the launcher. */
type Adds = { addItem(item: object): unknown } | { add(item: object): unknown };

const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path class="jp-icon3 jp-icon-selectable" fill="#616161" ' +
  'd="M4 3h16a2 2 0 0 1 2 2v11a2 2 0 0 1-2 2H9l-5 4v-4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm0 2v11h2v2l2.3-2H20V5z' +
  'M6 8h12v1.6H6zm0 3.6h8v1.6H6z"/></svg>';

async function notebooks(): Promise<Token | undefined> {
  return (await shared<{ INotebookTracker?: Token }>("@jupyterlab/notebook"))?.INotebookTracker;
}

let link: Token | undefined;

/** The name under which other plug-ins of ours get the talk with the kernels. */
async function talk(): Promise<Token | undefined> {
  const coreutils = await shared<{ Token?: new (name: string) => Token }>("@lumino/coreutils");
  if (coreutils?.Token) link ??= new coreutils.Token("holystream_nb:page");
  return link;
}
