import type { Emitter } from "highlight.js";
import highlighter from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import julia from "highlight.js/lib/languages/julia";
import latex from "highlight.js/lib/languages/latex";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import rust from "highlight.js/lib/languages/rust";
import shell from "highlight.js/lib/languages/shell";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
const languages = {
  ...{ bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, julia, latex, markdown, python },
  ...{ r, rust, shell, sql, typescript, xml, yaml },
};
for (const [name, language] of Object.entries(languages)) highlighter.registerLanguage(name, language);

/** Longer code stays plain: colouring it would keep the page from answering. */
const LIMIT = 20_000;
/** Coloured code comes in stretches of whole lines that have this many characters. */
const STRETCH = 2048;

type Step = { text: string } | { open: string } | "close";

/** What highlight.js finds, in order: its own way, through HTML, has to be parsed and sanitised and takes twice as long. */
class Steps implements Emitter {
  readonly steps: Step[] = [];

  addText(text: string): void {
    this.steps.push({ text });
  }

  openNode(scope: string): void {
    const [first, ...more] = scope.split(".");
    this.steps.push({ open: [`hljs-${first}`, ...more.map((part) => `${part}_`)].join(" ") });
  }

  closeNode(): void {
    this.steps.push("close");
  }

  startScope(scope: string): void {
    this.openNode(scope);
  }

  endScope(): void {
    this.closeNode();
  }

  __addSublanguage(inner: Emitter & { steps: Step[] }): void {
    for (const step of inner.steps) this.steps.push(step);
  }

  finalize(): void {}

  toHTML(): string {
    return "";
  }
}

highlighter.configure({ __emitter: Steps });

/** Code in colours, stretch by stretch, or null where its language is not known or it is long. The text stays the same. */
export function highlighted(code: string, language: string): Iterable<HTMLElement> | null {
  if (code.length > LIMIT || !highlighter.getLanguage(language)) return null;
  const { errorRaised, _emitter } = highlighter.highlight(code, { language, ignoreIllegals: true });
  return errorRaised ? null : stretches((_emitter as Steps).steps);
}

function* stretches(steps: Step[]): Generator<HTMLElement> {
  let stretch = span("hs-stretch");
  let open = [stretch];
  let length = 0;
  for (const step of steps) {
    const top = open.at(-1)!;
    if (step === "close") {
      if (open.length > 1) open.pop();
    } else if ("open" in step) {
      const inner = span(step.open);
      top.append(inner);
      open.push(inner);
    } else {
      const line = length + step.text.length > STRETCH ? step.text.indexOf("\n") + 1 : 0;
      top.append(step.text.slice(0, line || undefined));
      length += step.text.length;
      if (!line) continue;
      yield stretch;
      open = open.map((outer) => outer.cloneNode() as HTMLElement);
      for (const [index, outer] of open.entries()) open[index - 1]?.append(outer);
      stretch = open[0]!;
      open.at(-1)!.append(step.text.slice(line));
      length = step.text.length - line;
    }
  }
  if (length) yield stretch;
}

function span(className: string): HTMLElement {
  const element = document.createElement("span");
  element.className = className;
  return element;
}
