/**
 * Modules that JupyterLab and Notebook 7 share with their extensions, taken from the scope of module federation
 * (https://webpack.js.org/concepts/module-federation/) without webpack: the types of what is used are written by hand.
 */

type Factory = () => unknown;
export type Scope = Record<string, Record<string, { get(): Promise<Factory> }>>;

let scope: Scope = {};

export function share(given: Scope): void {
  scope = given;
}

/** The application's own module of this name; null where it shares none. */
export async function shared<T>(name: string): Promise<T | null> {
  const versions = Object.values(scope[name] ?? {});
  return versions.length ? ((await versions[0]!.get())() as T) : null;
}
