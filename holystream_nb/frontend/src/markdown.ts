import DOMPurify from "dompurify";
import { Lexer, Marked, Tokenizer, type TokenizerAndRendererExtension, type Tokens } from "marked";

/**
 * Markdown to nodes that cannot act.
 *
 * HTML in the answer is shown as text; links and images become text with their address; nothing is loaded. What the
 * renderer writes is then sanitised against a short list of tags and attributes, so that a mistake above is not a hole.
 * Link reference definitions are shown as they are: a live answer's blocks are drawn one by one.
 */

const TAGS =
  "blockquote br code del div em h1 h2 h3 h4 h5 h6 hr li ol p pre span strong table tbody td th thead tr ul".split(" ");
const ATTRIBUTES = ["align", "class", "start"];
const OUR_CLASS = /^(?:hs-(?:maths|image|address)|hljs-[a-z-]+|[a-z]+_|language-[\w+#.-]+)$/;

const purifier = DOMPurify(window);
purifier.addHook("uponSanitizeAttribute", (_node, attribute) => {
  if (attribute.attrName !== "class") return;
  attribute.attrValue = attribute.attrValue.split(/\s+/).filter((name) => OUR_CLASS.test(name)).join(" ");
  attribute.keepAttr = attribute.attrValue !== "";
});

export function sanitised(html: string): DocumentFragment {
  return purifier.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Maths stays source text, and Markdown does not read it: `$$…$$`, `\[…\]`, `\(…\)`, and `$…$` by Pandoc's rule. */
const DISPLAY = /^(?:\$\$(?:(?!\n[ \t]*\n)[^]){1,4000}?\$\$|\\\[(?:(?!\n[ \t]*\n)[^]){1,4000}?\\\])/;
const INLINE = /^(?:\\\((?:(?!\n[ \t]*\n)[^]){1,1000}?\\\)|\$(?![\s$])(?:\\[^]|[^\\$]){0,1000}?[^\s\\$]\$(?!\d))/;

const ANYWHERE = new RegExp(`${DISPLAY.source.slice(1)}|${INLINE.source.slice(1)}`, "g");

const displayedMaths: TokenizerAndRendererExtension = {
  name: "displayedMaths",
  level: "block",
  start: (source) => source.match(/(?<=\n) {0,3}(?:\$\$|\\\[)/)?.index,
  tokenizer(source) {
    const found = /^ {0,3}/.exec(source)![0];
    const raw = DISPLAY.exec(source.slice(found.length))?.[0];
    return raw && /^[ \t]*(?:\n|$)/.test(source.slice(found.length + raw.length))
      ? { type: "displayedMaths", raw: found + raw, text: raw }
      : undefined;
  },
  renderer: (token) => `<div class="hs-maths">${escaped(token.text)}</div>`,
};

const maths: TokenizerAndRendererExtension = {
  name: "maths",
  level: "inline",
  start: (source) => source.match(/\$|\\[([]/)?.index,
  tokenizer(source) {
    const raw = (DISPLAY.exec(source) ?? INLINE.exec(source))?.[0];
    return raw ? { type: "maths", raw, text: raw } : undefined;
  },
  renderer: (token) => `<span class="hs-maths">${escaped(token.text)}</span>`,
};

function address(href: string, title?: string | null): string {
  const quoted = title ? ` “${title}”` : "";
  return href || quoted ? ` <span class="hs-address">(${escaped(href + quoted)})</span>` : "";
}

class Reader extends Tokenizer {
  override html = () => undefined;
  override tag = () => undefined;
  override def = () => undefined;

  /** An emphasis that began before some maths does not end inside it. */
  override emStrong(source: string, masked: string, before?: string): Tokens.Em | Tokens.Strong | undefined {
    if (!/[$\\]/.test(source)) return super.emStrong(source, masked, before);
    const ahead = masked.slice(-source.length).split("");
    for (const { index, 0: raw } of source.matchAll(ANYWHERE)) ahead.fill("a", index, index + raw.length);
    return super.emStrong(source, masked.slice(0, -source.length) + ahead.join(""), before);
  }
}

const marked = new Marked({
  gfm: true,
  extensions: [displayedMaths, maths],
  renderer: {
    html: ({ raw }) => escaped(raw),
    link({ href, title, tokens, text, autolink }: Tokens.Link) {
      return autolink ? escaped(text) : this.parser.parseInline(tokens) + address(href, title);
    },
    image: ({ href, title, text }) => `<span class="hs-image">🖼 ${escaped(text)}</span>${address(href, title)}`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code({ text, lang }) {
      const language = /^[\w+#.-]+/.exec(lang ?? "")?.[0];
      return `<pre><code${language ? ` class="language-${language}"` : ""}>${escaped(text)}\n</code></pre>`;
    },
  },
});

marked.setOptions({ tokenizer: new Reader() });

/** Whole blocks. */
export function blocks(source: string): DocumentFragment {
  return sanitised(marked.parse(source, { async: false }));
}

/** The inside of a paragraph. */
export function phrase(source: string): DocumentFragment {
  return sanitised(marked.parseInline(source, { async: false }));
}

/** Where a long paragraph can be cut: before what its last inline element began, at a space in plain text. */
export function cut(paragraph: string): number {
  const tokens = new Lexer(marked.defaults).inlineTokens(paragraph);
  const last = tokens.pop()?.raw ?? "";
  const whole = tokens.reduce((length, token) => length + token.raw.length, 0);
  const space = /\s\S*$/.exec(last)?.index ?? 0;
  if (whole + last.length !== paragraph.length) return paragraph.length;
  return tokens.length && space === 0 ? whole : whole + space || paragraph.length;
}

/** Maths that has begun, and with what it ends. */
const BEGUN = /(?:\$\$|\\([[(]))(?:(?!\n[ \t]*\n)[^])+$/;
const ENDS: Record<string, string> = { "[": "\\]", "(": "\\)" };

/** Closes what an unfinished text has opened (code, maths, strong), so that it does not flicker when the end arrives. */
export function mended(source: string): string {
  const paragraph = source.slice(source.lastIndexOf("\n\n") + 1);
  if (/^ {0,}(?:```|~~~)/m.test(paragraph)) return source;
  if ((paragraph.match(/`/g)?.length ?? 0) % 2) return `${source}\``;
  const prose = paragraph.replace(/`[^`]*`|\\\*/g, "");
  const begun = BEGUN.exec(prose.replace(ANYWHERE, ""));
  if (begun) return source + (ENDS[begun[1] ?? ""] ?? "$$");
  const isOpen = (prose.match(/\*\*/g)?.length ?? 0) % 2 === 1 && /\S\*{0,1}$/.test(prose) && !/\*\*$/.test(prose);
  return isOpen ? `${source.replace(/\*$/, "")}**` : source;
}
