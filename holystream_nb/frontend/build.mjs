// Bundles the widgets into ../static, and JupyterLab's extension into ../labextension; `--tests` bundles the unit tests
// into build/tests instead.
// The first line of each script carries a digest of the sources: hatch_build.py builds again when it differs.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/** SHA-256 over what the bundle is made from, in the order of the names; hatch_build.py computes the same. */
function digest() {
  const entries = readdirSync(join(here, "src"), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, path, name }) => join(parentPath ?? path, name));
  const names = ["build.mjs", "package-lock.json", "../live/harmless/tex.json", ...files.map((file) => relative(here, file).replaceAll("\\", "/"))];
  const hash = createHash("sha256");
  for (const name of names.sort()) hash.update(`${name}\0`).update(readFileSync(join(here, name)));
  return hash.digest("hex");
}

const NOT_ASCII = /[^\x00-\x7f]/g;
const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

const tests = process.argv.includes("--tests");
const failed = () => process.exit(1); // esbuild has said why
const common = { absWorkingDir: here, bundle: true, logLevel: "warning", charset: "utf8" };

if (tests) {
  const entryPoints = readdirSync(join(here, "test")).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: entryPoints.map((name) => join("test", name)),
    outdir: "build/tests",
    outExtension: { ".js": ".mjs" },
    platform: "node",
    format: "esm",
    packages: "external",
  }).catch(failed);
} else {
  const sources = digest();
  mkdirSync(join(here, "../static"), { recursive: true });
  for (const name of ["live", "chat"]) await bundle(name, sources);
  await extension(sources);
  const licences = ["dompurify", "highlight.js", "marked", "temml"].map(
    (name) => `${name}\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8")}`,
  );
  writeFileSync(join(here, "../static/LICENSES.txt"), licences.join("\n\n"));
}

/**
 * One widget's script and style sheet.
 *
 * anywidget imports the script anew for every widget that is opened: the page runs it once, and later widgets share it.
 * In ASCII the engine keeps it in one byte a character; esbuild leaves regular expressions as they are.
 */
async function bundle(name, sources) {
  const shared = `globalThis[Symbol.for("holystream_nb/${name} ${sources}")]`;
  const { outputFiles } = await build({
    ...common,
    charset: "ascii",
    write: false,
    entryPoints: [`src/${name}.ts`, `src/${name}.css`],
    outdir: "../static",
    format: "iife",
    globalName: "widget",
    target: "es2022",
    minify: true,
    legalComments: "inline",
    banner: { js: `/* holystream_nb: ${name}; sources ${sources} */\nfunction make() {` },
    footer: { js: `return widget.default }\nexport default ${shared} ??= make();` },
  }).catch(failed);
  for (const { path, text } of outputFiles) writeFileSync(path, path.endsWith(".js") ? text.replace(NOT_ASCII, escaped) : text);
}

/**
 * JupyterLab's extension: a folder for share/jupyter/labextensions, whose package.json names the script to load.
 * (https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html#prebuilt-extensions)
 */
async function extension(sources) {
  const folder = join(here, "../labextension/holystream_nb");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, "static"), { recursive: true });
  const name = `remoteEntry.${sources.slice(0, 20)}`; // another name for other sources: a page keeps what it has
  await build({
    ...common,
    charset: "ascii",
    entryPoints: { [name]: "src/extension/index.ts" },
    outdir: join(folder, "static"),
    format: "iife",
    target: "es2022",
    minify: true,
    legalComments: "inline",
    banner: { js: `/* holystream_nb: extension; sources ${sources} */` },
    define: { SOURCES: JSON.stringify(sources) },
  }).catch(failed);
  for (const bundle of ["live", "chat"]) {
    for (const kind of ["js", "css"]) copyFileSync(join(here, `../static/${bundle}.${kind}`), join(folder, `static/${bundle}.${sources}.${kind}`));
  }
  const jupyterlab = { extension: true, _build: { load: `static/${name}.js`, extension: "./extension" } };
  const version = readFileSync(join(here, "../__init__.py"), "utf8").match(/__version__ = "(.*)"/)[1];
  writeFileSync(join(folder, "package.json"), `${JSON.stringify({ name: "holystream_nb", version, license: "MIT", jupyterlab }, null, 2)}\n`);
}
