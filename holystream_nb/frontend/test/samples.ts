const words = (count: number) => Array.from({ length: count }, (_, index) => `word${index}`).join(" ");
const lines = (count: number, line: (index: number) => string) => Array.from({ length: count }, (_, i) => line(i)).join("\n");

/** Answers of the kinds that models write, and some that are only meant to be difficult. */
export const SAMPLES: Record<string, string> = {
  empty: "",
  plain: "One line.",
  paragraphs: "First *paragraph* with **strong** and `code`.\n\nSecond, after a blank line,\nover two lines.\n\n\n\nThird.",
  headings: "# One\n## Two\ntext at once\n### Three #\n\nSetext\n======\n\nAnother\n---\n\n#no heading\n\n###### Six",
  bullets: "Here:\n- one\n- two\n  - nested\n    - deeper\n- three\n\nAfter.",
  loose: "1. First\n\n   with a paragraph\n\n2. Second\n\n   ```py\n   x = 1\n\n   y = 2\n   ```\n\n3. Third\n\nAfter.",
  kinds: "- a\n- b\n\n* c\n* d\n\n1) e\n2) f\n\n7. g\n8. h",
  tasks: "- [ ] open\n- [x] done\n- [X] also",
  lazy: "- item\nlazy continuation\n\n> quote\nlazy\n\ntext",
  fences: "```python\ndef f():\n\n    return '```'\n```\n\n~~~~\n~~~\n```\n~~~~\n````md\n```\n1\n```\n````\nend",
  crowded: "text\n```js\nlet a = 1;\n```\ntext\n- item\n```\ncode\n```\n# heading\n> quote\n***\n| a |\n| - |\n| 1 |",
  indentedFence: "  ```py\n  a = 1\n    b = 2\n c = 3\n  ```\n",
  unclosed: "Before\n\n```rust\nfn main() {\n    println!(\"hi\");",
  indented: "Text\n\n    code\n\n    more code\n\n\tand a tab\n\nEnd",
  table: "| Model | tok/s |\n|:--|--:|\n| a | 1 |\n| b \\| c | `2` |\n\nAfter the table.",
  bareTable: "Lead-in\na | b\n--- | ---\n1 | 2\n3 | 4\n# Heading\n",
  quote: "> one\n>\n> - a\n> - b\n>\n> ```\n> code\n> ```\n\nafter\n> again",
  rules: "a\n\n---\n\nb\n\n* * *\n\nc\n***\nd\n___\n",
  maths: "Euler: $e^{i\\pi} + 1 = 0$ and \\(a_1*b_2*c_3\\).\n\n$$\na_1\n+ b_1\n- c*d*e\n= 0\n$$\n\n\\[ x_1 * y_1 * z_1 \\]\n\nIt costs $5 and $10.",
  listMaths: "1. Sum:\n   $$\n   a\n   + b\n   $$\n2. Next *a $x*y$ b* end",
  emphasis: "**bold with `code` inside**, *em **both** em*, ~~gone~~, snake_case_word, 2*3*4, **open",
  links: "[text](https://example.com \"title\"), <https://example.org>, https://example.net/a_b_c, a@b.example, ![alt](x.png)",
  definitions: "A [reference][ref] and [another].\n\n[ref]: https://example.com \"Title\"\n[another]: <b>\n",
  html: "<div align=\"center\">\n  <b>bold?</b>\n</div>\n\n<script>\nalert(1)\n\nalert(2)\n</script>\n\nif a < b && c > d: <br> &amp; &lt;i&gt;",
  comment: "before <!-- hidden --> after\n\n<!-- a\n\nb -->\n\n<pre>\n\n x\n</pre>",
  cjk: "**你好**，世界。这是一个段落。\n\n- 一\n- 二\n\n日本語のテキスト🙂 👨‍👩‍👧‍👦 é",
  windows: "One\r\n\r\n- a\r\n- b\r\n\r\n```\r\ncode\r\n```\r\nend\rold mac\r\rend\r",
  markers: "-\n\n*\n\n+\n\n1.\n\n#\n\n>\n\n|\n\n=\n\n`\n\n$$\n\n\\[",
  hardBreaks: "one  \ntwo\\\nthree\n",
  longParagraph: `${words(1200)} **strong across** ${words(900)} \`code here\` [a link](http://x.example/) ${words(1500)}\n\nend`,
  longLines: `${lines(400, (i) => `Line ${i} has *some* text, and more of it.`)}\n- list\n- follows\n\nend`,
  longWord: `${"x".repeat(9000)}\n\n${"漢字🙂".repeat(3000)}`,
  longList: `${lines(700, (i) => `${i + 1}. item ${i} with *text* in it`)}\n\nend`,
  longLoose: `${lines(300, (i) => `- item ${i} with text\n\n  and a second paragraph`)}\n\nend`,
  longTable: `| a | b |\n|---|---|\n${lines(900, (i) => `| ${i} | value ${i} |`)}\n\nend`,
  longCode: `\`\`\`python\n${lines(300, (i) => `value_${i} = ${i}  # a comment`)}\n\`\`\`\n\nend`,
  longCodeLine: `\`\`\`json\n"${"y".repeat(5000)}"\n\`\`\`\nend`,
  longQuote: `${lines(1800, (i) => `> quoted line ${i}`)}\n\nend`,
  longItem: `- item\n${lines(1800, (i) => `  text line ${i}`)}\n- next\n\nend`,
};

/** A repeatable sequence of numbers in [0, 1) (a linear congruential generator). */
export function random(seed: number): () => number {
  return () => (seed = (seed * 1664525 + 1013904223) >>> 0) / 2 ** 32;
}

/** Cuts a text at random places, also in the middle of a character. */
export function split(text: string, seed: number, longest: number): string[] {
  const next = random(seed);
  const parts: string[] = [];
  for (let from = 0; from < text.length; ) {
    const to = from + 1 + Math.floor(next() * longest);
    parts.push(text.slice(from, to));
    from = to;
  }
  return parts;
}
