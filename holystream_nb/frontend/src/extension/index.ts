/**
 * The extension of JupyterLab and Notebook 7, as a container of module federation: what a page loads at its start.
 *
 * It passes by version negotiation, so each plug-in checks what it needs, and does nothing where that is missing.
 */
import { type Plugin, plugins } from "./plugins";
import { type Scope, share } from "./shared";

const NAME = "holystream_nb";

interface Container {
  init(scope: Scope): void;
  get(module: string): Promise<() => { __esModule: true; default: Plugin[] }>;
}

declare global {
  interface Window {
    _JUPYTERLAB?: Record<string, Container>;
  }
}

(window._JUPYTERLAB ??= {})[NAME] = {
  init: share,
  get: async () => {
    const found = await plugins();
    return () => ({ __esModule: true, default: found });
  },
};
