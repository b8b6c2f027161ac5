import type { Application, NotebookTracker } from "./application";
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
  const notebook = await shared<{ INotebookTracker?: Token }>("@jupyterlab/notebook");
  const services = await shared<{ KernelMessage?: { createMessage?: MakeMessage } }>("@jupyterlab/services");
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
  ];
}
