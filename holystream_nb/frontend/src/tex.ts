import lists from "../../live/harmless/tex.json";

/**
 * Which TeX is a formula: only what is made of known commands, environments and characters, with all closed that it
 * opens. The same rule, step by step, as `live/harmless/formulas.py`, by which the saved copy is written; what is wrong
 * in what is allowed, Temml finds here and `live/harmless/whole.py` there.
 */

const COMMANDS = new Set(lists.commands.join(" ").split(" "));
const ENVIRONMENTS = new Set(lists.environments.join(" ").split(" "));

/** Characters of a formula, and groups, environments and fences within one another. */
const [LENGTH, DEPTH] = [4000, 40];

const SIGNS = new Set(",;:!> {}|\\%#&_$");
const TOKEN = /\\(?:(begin|end)\{([A-Za-z]+\*?)\}|([A-Za-z]+)|(.?))|([{}&])/g;
const ALIGNED_AT = /\{\d{1,2}\}/y;
const COLOUR = new RegExp(`\\{(?:${lists.colours.join(" ").replaceAll(" ", "|")})\\}`, "y");
const ARGUMENTS: Record<string, RegExp> = {
  array: /(?:\[[tbc]\])? ?\{[lcr|: ]{1,64}\}/y,
  subarray: /\{[lcr]\}/y,
  alignat: ALIGNED_AT,
  "alignat*": ALIGNED_AT,
  alignedat: ALIGNED_AT,
  color: COLOUR,
  textcolor: COLOUR,
  ce: /\{(?:[A-Za-z0-9()[\] .+=<>-]|[\^_](?:\{[0-9+-]{1,8}\})?)+\}/y,
  hspace: /\*?\{-?\d{1,2}(?:\.\d{1,4})? ?(?:em|ex|pt|cm|mm|in|pc)\}/y,
  label: /\{[\w:. -]{0,64}\}/y,
  tag: /\*?\{[\w:. '*+-]{0,64}\}/y,
};
const REFUSED = /[`@]|(?<!\\)[\^_]\s*[\^_]|\^\^|(?<!\\)(?:\\\\)*[%#$]|\d{3,}\s*(?:em|ex|pt|px|cm|mm|in|mu|pc)\s*[\]}]|:\/\/|www\.|data-cite/i;
const WRITTEN = /^(?:[ -~]|[^\x00-\x7f\p{C}\p{Z}])*$/u;
const SPACE = /[\s\x1c-\x1f\x85]+/g;
const SKIP = /(\\\\\*?)\s*\[\s*-?[\d.]+\s*(?:em|ex|pt|px|cm|mm|in|mu|pc)\s*\]/g;
const OPENING: Record<string, string> = { right: "left", "}": "{" };

/** Whether a formula, without its delimiters, may be typeset. */
export function isAllowed(source: string): boolean {
  const tex = source.replace(SPACE, " ").replace(SKIP, "$1 ").replace(/^ +| +$/g, "");
  if (!tex || tex.length > LENGTH || REFUSED.test(tex) || !WRITTEN.test(tex)) return false;
  const opened: string[] = [];
  for (const token of tex.matchAll(TOKEN)) {
    const [whole, edge, environment, command, sign, mark] = token;
    const expected = ARGUMENTS[(edge === "begin" ? environment : command) ?? ""];
    if (expected) {
      expected.lastIndex = token.index + whole.length;
      if (!expected.test(tex)) return false;
    }
    let isKnown: boolean;
    if (edge === "begin" || command === "left" || mark === "{") {
      opened.push(environment ?? command ?? mark!);
      isKnown = opened.length <= DEPTH && (!edge || ENVIRONMENTS.has(environment!));
    } else if (edge === "end" || command === "right" || mark === "}") {
      isKnown = opened.pop() === (environment ?? OPENING[command ?? mark!]);
    } else if (mark === "&") isKnown = ENVIRONMENTS.has(opened.at(-1)!);
    else isKnown = command ? COMMANDS.has(command) : SIGNS.has(sign!);
    if (!isKnown) return false;
  }
  return opened.length === 0;
}
