/** A plug-in of JupyterLab (https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html#plugins). */
export interface Plugin {
  id: string;
  description: string;
  autoStart: boolean;
  requires?: unknown[];
  optional?: unknown[];
  activate(app: unknown, ...services: unknown[]): void;
}

/** All that this application has the tokens for. */
export async function plugins(): Promise<Plugin[]> {
  return [
    {
      id: "holystream_nb:page",
      description: "Says that the page has this extension.",
      autoStart: true,
      activate: () => document.body.setAttribute("data-holystream-extension", ""),
    },
  ];
}
