import type { Application, NotebookTracker } from "./application";
import { type Actions, Cells, type Server } from "./cells";
import { type MakeMessage, PageLink } from "./page";
import { shared } from "./shared";

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

/** All that this application has the tokens for. */
export async function plugins(): Promise<Plugin[]> {
  const coreutils = await shared<{ Token?: new (name: string) => Token }>("@lumino/coreutils");
  const notebook = await shared<{ INotebookTracker?: Token; NotebookActions?: Actions }>("@jupyterlab/notebook");
  const services = await shared<{ KernelMessage?: { createMessage?: MakeMessage }; ServerConnection?: Server }>("@jupyterlab/services");
  const make = services?.KernelMessage?.createMessage;
  if (!coreutils?.Token || !notebook?.INotebookTracker || !make) return [];
  const link = new coreutils.Token("holystream_nb:page");
  return [
    {
      id: "holystream_nb:page",
      description: "Talks with the kernels of this page's notebooks.",
      autoStart: true,
      requires: [notebook.INotebookTracker],
      provides: link,
      activate: (app, tracker: NotebookTracker) => {
        document.body.setAttribute("data-holystream-extension", "");
        return new PageLink(app, tracker, make);
      },
    },
    {
      id: "holystream_nb:cells",
      description: "Keeps answers in their cells over a reload, a closed tab, a moved cell and the kernel's end.",
      autoStart: true,
      requires: [link, notebook.INotebookTracker],
      activate: (app, page: PageLink, tracker: NotebookTracker) => {
        new Cells(app, page, services?.ServerConnection ?? null, tracker, notebook.NotebookActions ?? null);
      },
    },
  ];
}
