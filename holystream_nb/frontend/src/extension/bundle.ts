/** The widgets' scripts and style sheets, which this page loads once from the extension's files; `live/bundle.py`. */
import { BUNDLE } from "./page";

type Take = (name: string, sources: string) => Promise<unknown>;

const folder = (document.currentScript as HTMLScriptElement | null)?.src.replace(/[^/]*$/, "") ?? "";
const taken = new Map<string, Promise<unknown>>();

async function load(name: string): Promise<unknown> {
  const address = `${folder}${name}.${BUNDLE}`;
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `${address}.css` });
  const styled = new Promise((resolve) => (link.onload = link.onerror = resolve));
  document.head.append(link);
  const [script] = await Promise.all([import(`${address}.js`) as Promise<{ default: unknown }>, styled]);
  return script.default;
}

/** Lets the line that a kernel sends instead of a bundle find it here; another version's it does not. */
export function offer(): void {
  const take: Take = async (name, sources) => {
    if (sources !== BUNDLE || !folder) return null;
    if (!taken.has(name)) taken.set(name, load(name));
    return taken.get(name)!.catch(() => (taken.delete(name), null)); // the kernel is asked for it
  };
  (globalThis as unknown as Record<symbol, Take>)[Symbol.for("holystream_nb/bundle")] = take;
}
