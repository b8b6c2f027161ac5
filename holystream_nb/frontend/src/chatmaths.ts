import DOMPurify from "dompurify";
import temml from "temml";
import { isAllowed } from "./tex";

/**
 * TeX to MathML that cannot act.
 *
 * Only what `tex` allows is typeset. Temml runs without trust (no links, no images, no styles) and with limits. What it
 * writes is then sanitised against a short list of its own elements, attributes and properties. What cannot be typeset
 * stays the source that it was.
 */

const TAGS = (
  "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt mstyle " +
  "msub msubsup msup mtable mtd mtext mtr munder munderover none span"
).split(" ");
const ATTRIBUTES = (
  "accent accentunder class columnalign columnlines columnspacing columnspan depth display displaystyle fence form height " +
  "largeop linethickness lspace mathbackground mathcolor mathsize mathvariant maxsize minsize movablelimits notation " +
  "rowlines rowspacing rowspan rspace scriptlevel separator stretchy style symmetric voffset width"
).split(" ");
const CLASS = /^(?:tml-[a-z\d-]+|math(?:cal|scr)|(?:up|down)strike|sout)$/;
const PROPERTY = /^(?:(?:background-)?color|display|font-(?:style|weight)|height|math-(?:depth|shift|style)|text-align|width|(?:border|margin|padding)(?:-(?:left|right|top|bottom))?(?:-(?:color|style|width))?)$/;
const VALUE = /^[\w#.% -]*$/;

const purifier = DOMPurify(window);
purifier.addHook("uponSanitizeAttribute", (_node, attribute) => {
  if (attribute.attrName === "class") keep(attribute, /\s+/, " ", (name) => CLASS.test(name));
  if (attribute.attrName === "style") keep(attribute, /;/, ";", isHarmless);
});

function keep(attribute: { attrValue: string; keepAttr: boolean }, cut: RegExp, glue: string, test: (part: string) => boolean): void {
  attribute.attrValue = attribute.attrValue.split(cut).filter(test).join(glue);
  attribute.keepAttr = attribute.attrValue !== "";
}

function isHarmless(declaration: string): boolean {
  const [property = "", value = ""] = declaration.split(":");
  return PROPERTY.test(property.trim()) && VALUE.test(value);
}

/** How often a macro of Temml's own is replaced in one formula, at most; sizes in em. */
const LIMITS = { maxExpand: 300, maxSize: [20, 100] as [number, number] };
/** Formulas are typeset in portions that have this many characters. */
const PORTION = 400;

/** Typesets formulas, which hold their source with its delimiters; every step takes little time. */
export function* typesetting(formulas: Iterable<Element>): Generator<void> {
  let length = 0;
  for (const formula of formulas) {
    if (length > PORTION) {
      yield;
      length = 0;
    }
    length += formula.textContent!.length;
    const typeset = typesetted(formula.textContent!);
    if (!typeset) continue;
    formula.classList.add("hs-typeset");
    formula.replaceChildren(typeset);
  }
}

/** Words in maths: people write snake_case there, which TeX takes for a script. */
const WORDS = /\\(?:text[a-z]*|[mh]box)\{[^{}]*\}/g;
const withUnderscores = (words: string): string => words.replace(/(?<!\\)_/g, "\\_");

/** A formula as MathML, or null where it has to stay as it is. */
export function typesetted(formula: string): DocumentFragment | null {
  const [, mark, source] = /^(\$\$?|\\[([])([^]*?)(?:\$\$?|\\[)\]])$/.exec(formula.trim()) ?? [];
  if (!source || !isAllowed(source)) return null;
  try {
    const isDisplayed = mark === "$$" || mark === "\\[";
    const options = { displayMode: isDisplayed, throwOnError: true, trust: false, strict: false, ...LIMITS };
    return sanitised(temml.renderToString(source.replace(WORDS, withUnderscores), options));
  } catch {
    return null; // what Temml does not know, or what is wrong in it: its reader sees the source
  }
}

/** Temml's MathML, made harmless; null where not one formula is left. */
export function sanitised(mathml: string): DocumentFragment | null {
  const nodes = purifier.sanitize(mathml, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  return nodes.childNodes.length === 1 && nodes.firstElementChild?.localName === "math" ? nodes : null;
}
