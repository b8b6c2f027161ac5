r"""Formulas that people write are drawn, live and saved by one rule; what is wrong in them is shown as its source."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from missing import missing

import holystream_nb
from holystream_nb.live.harmless.formulas import is_allowed, on_one_line, safe_tex

from .payloads import PAYLOADS

FORMULAS: Final = Path(__file__).with_name("formulas.txt").read_text("utf-8").splitlines()
FRONTEND: Final = Path(holystream_nb.__file__).parent / "frontend"
LISTS: Final = json.loads((FRONTEND.parent / "live" / "harmless" / "tex.json").read_text("utf-8"))
_PAGE: Final = """
import { build } from "esbuild";
import { createInterface } from "node:readline";
const { outputFiles: [made] } = await build({ entryPoints: ["src/tex.ts"], bundle: true, format: "esm", write: false });
const { isAllowed } = await import("data:text/javascript;base64," + Buffer.from(made.text).toString("base64"));
for await (const line of createInterface({ input: process.stdin })) console.log(isAllowed(JSON.parse(line)));
"""


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_drawn(formula: str) -> None:
    """Formulas of physics, chemistry, statistics, learning and logic are formulas, and stay what they have become."""
    written = safe_tex(formula, is_display=False)
    assert written
    assert safe_tex(written) == written


@pytest.mark.parametrize(
    "formula",
    [
        *(r"\hat", r"\frac{a}", r"\sqrt[3]", r"\mathbf", r"x^", r"x_{a}_{b}", r"x^2'", r"\sqrt\frac12", r"x\hline y"),
        *(r"\left x \right y", r"\big", r"\middle| x", r"x \limits_a", r"a \over b \over c", r"\text{a^b}", r"\ket"),
        *(
            r"\begin{cases} a & b & c \end{cases}",
            r"\begin{array}{c} a & b \end{array}",
            r"\text{\sum}",
            r"\dv{x}",
            r"{x \tag{1}}",
        ),
        *(
            r"\color{zzz} x",
            r"\hspace{em}",
            r"\hspace{1mu}",
            r"\ce{\input}",
            r"\ce{a$b}",
            r"\begin{gathered}a&b\end{gathered}",
        ),
    ],
)
def test_a_wrong_formula_is_its_source(formula: str) -> None:
    """What would be an error in place of a formula, and would end the PDF of the notebook, is no formula."""
    assert safe_tex(formula) is None


def test_commands_that_not_all_know_are_spelt_out() -> None:
    """Physics, chemistry and short names are written in the commands of all renderers, and so are prices in maths."""
    assert safe_tex(r"\bra{a}\ket{\bm b}") == r"{\langle a\rvert }{\lvert \boldsymbol b\rangle }"
    assert safe_tex(r"\argmax_x \abs{x}") == r"\operatorname*{arg\,max}_x \left\lvert x\right\rvert"
    assert safe_tex(r"\ce{2 H2O -> SO4^2- + ^{14}_{6}C}") == (
        r"\mathrm{2\,H_{2}O \longrightarrow SO_{4}^{2-} + {}^{14}_{6}C}"
    )
    assert safe_tex(r"\ce{Na+ <=>[x] CH3-OH}") == r"\mathrm{Na^{+} \overset{x}{\rightleftharpoons } CH_{3}{-}OH}"
    assert safe_tex(r"\$5 + \text{\$6}") == r"\${}5 + \text{\${}6}"
    assert safe_tex(r"x \tag{1}", is_display=False) == r"x \quad \text{(1)}"
    assert safe_tex(r"\begin{equation} x \tag{1} \end{equation}") == r"x \tag{1}"
    assert safe_tex(r"\begin{gather} x \tag*{A} \end{gather}") == (r"\begin{gathered} x \quad \text{A} \end{gathered}")


@pytest.fixture(scope="module")
def page() -> Iterator[Callable[[str], bool]]:
    """The verdict of the page's own code."""
    node = shutil.which("node")
    if node is None or not (FRONTEND / "node_modules" / "esbuild").exists():
        missing("NO NODE OR NO esbuild UNDER frontend/node_modules: whether live and saved agree is NOT TESTED")
    command = [node, "--input-type=module", "-e", _PAGE]
    process = subprocess.Popen(
        command, cwd=FRONTEND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )

    def verdict(source: str) -> bool:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(source)}\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline()) is True

    with process:
        yield verdict
        process.terminate()


def here(source: str) -> bool:
    """The verdict of the kernel's code, which takes a formula on one line."""
    return is_allowed(on_one_line(source))


PIECES: Final = [
    *(f"\\{name}" for names in LISTS["commands"] for name in names.split()),
    *(f"\\begin{{{name}}}" for names in LISTS["environments"] for name in names.split()),
    *(f"\\end{{{name}}}" for names in LISTS["environments"] for name in names.split()),
    *(r"\begin{array}{c|c}", r"\begin{array}[t] {lcr}", r"\end{array}", r"\begin{alignat}{2}", r"\end{alignat}"),
    *(r"\color{red}", r"\color{Red}", r"\ce{H2O}", r"\ce{H^2_{2}}", r"\ce{", r"\hspace*{-1.5 em}", r"\tag*{a 1}"),
    *(r"\label{é}", r"\tag{é}", r"\hspace{١em}", r"\begin{alignat}{١}", r"\left(", r"\right)", r"\input", r"\$"),
    *(
        "{",
        "}",
        "&",
        "^",
        "_",
        "^^",
        "%",
        "#",
        "$",
        "`",
        "@",
        "\\",
        "\\\\",
        "\\\\[2pt]",
        "\\\\*[ 1.5 em ]",
        "\\ ",
        "\\*",
    ),
    *(
        " ",
        "\n",
        "\t",
        "\u00a0",
        "\u2003",
        "\u200b",
        "\u2028",
        "\ufeff",
        "\x1c",
        "\x85",
        "\x00",
        "é",
        "文",
        "🐑",
        "\U000e0001",
    ),
    *("www.", "://", "data-cite", "DATA-CITE", "ſ", "İ", "K", "123em]", "١٢٣em}", "a", "1", "'", "\ud800", "\u0378"),
]


SIGNS: Final = st.text(st.characters(codec="koi8-r"), max_size=2)
"""Characters that are old enough for every version of Python and Node.js."""


@pytest.mark.slow
@settings(max_examples=examples(2_000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.lists(st.sampled_from(PIECES) | SIGNS, max_size=12).map("".join))
def test_live_and_saved_agree(page: Callable[[str], bool], source: str) -> None:
    """The page's code and the kernel's allow the same formulas, whatever pieces meet."""
    assert page(source) == here(source)


@pytest.mark.slow
def test_live_and_saved_agree_on_payloads_and_formulas(page: Callable[[str], bool]) -> None:
    """So they do on hostile answers, on the formulas in them and on formulas that people write."""
    sources = [*FORMULAS, *PAYLOADS.values(), *(part for text in PAYLOADS.values() for part in text.split("$"))]
    assert [source for source in sources if page(source) != here(source)] == []
