"""What is in the file, and how it reads when it is opened again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from playwright.async_api import Page, expect

from ..live.test_harmless import COPIED, copied
from .chromium import Journey
from .conftest import Open
from .notebook import Cell, read_in_lab
from .server import Server
from .service import Echo

SECTIONS = "## A heading\n\n| model | ms |\n|:--|--:|\n| one | 12 |\n\n```python\nfor x in range(3):\n    print(x)\n```"
VARIED = f"""{SECTIONS}

Some *emphasis*, **strong** words, `code <b>`, an escaped \\*star\\*, 5 * 3 * 2, snake_case_name and ~~no~~ yes.
A line that goes on; a < b & c > d, &amp; as written, and "quotes".

> A quotation
> of two lines

1. first
2. second
   - inside: 漢字, 🐑, é

3. third, after a blank line

Term[^1] and [a link](https://example.org/page "title") and <https://example.org>.

The end.
"""
HOSTILE = (
    "Before <b>bold</b> a < b.\n\n"
    "<script>window.pwned = 1</script>\n\n"
    '<img src=x onerror="window.pwned = 2"> <svg onload="window.pwned = 3"></svg>\n\n'
    "![a picture](https://evil.test/leak.png) [a link](javascript:window.pwned=4)\n\n"
    '<details open ontoggle="window.pwned = 5">'
)
SHOWN = (
    "<b>bold</b> a < b.",
    "<script>window.pwned = 1</script>",
    '<img src=x onerror="window.pwned = 2">',
    '<details open ontoggle="window.pwned = 5">',
)
_SELECTED = """(outputs) => outputs.map((output) => {
  getSelection().selectAllChildren(output);
  return getSelection().toString();
})"""
ACTING = "script, img, svg, details, a[href], iframe, form, style, [onerror], [onload], [ontoggle]"


async def test_a_saved_answer_reads_without_a_kernel(
    open_notebook: Open, echo: Echo, server: Server, new_page: Callable[[], Awaitable[Page]]
) -> None:
    """Saved, closed and opened again where there is no kernel, Markdown and figures are drawn, and no widget."""
    notebook = await open_notebook(f"{echo.magic}\n{SECTIONS}")
    await notebook.cell(1).run()
    await notebook.save()
    await notebook.shutdown()
    await notebook.close()

    page = await new_page()
    cell = (await read_in_lab(page, server, notebook.file)).cell(1)
    await expect(page.locator("body")).to_contain_text("No Kernel")
    await expect(cell.output.locator("h2")).to_have_text("A heading¶")
    await expect(cell.output.locator("table td")).to_have_text(["one", "12"])
    await expect(cell.output.locator("pre")).to_have_text("for x in range(3):\n    print(x)\n")
    await expect(cell.output.locator("em").last).to_contain_text("≈25 tokens")
    await expect(cell.output).not_to_contain_text("LiveView")
    await expect(page.locator("body")).not_to_contain_text("model not found")
    await expect(cell.root.locator(".jupyter-widgets")).to_have_count(0)


async def test_live_and_saved_say_the_same(open_notebook: Open, echo: Echo) -> None:
    """The text on the screen is the same before and after the live view becomes the saved output."""
    notebook = await open_notebook(f"{echo.magic}\n{VARIED}")
    cell = notebook.cell(1)
    echo.hold()
    await cell.start()
    await expect(cell.live.locator(".hs-body")).to_contain_text("The end.")
    words = (await cell.live.locator(".hs-body").inner_text()).split()
    words.remove("Copy")  # the button at the code
    echo.release()
    await cell.ended()

    [saved] = await cell.output.locator(".jp-RenderedMarkdown").all_inner_texts()
    assert saved.replace("¶", "").split()[: len(words)] == words


async def test_the_file_holds_text_and_figures_and_no_widget(open_notebook: Open) -> None:
    """The output is Markdown, plain text and the call's record: no widget, no widget state, no prompt, no key."""
    notebook = await open_notebook("%%stream -m gpt-4.1#tokens=20\nMy secret question")
    await notebook.cell(1).run()
    content = await notebook.save()

    [output] = content["cells"][1]["outputs"]
    assert set(output["data"]) == {"text/markdown", "text/plain"}
    record = output["metadata"]["holystream"]
    assert record["model"].startswith("gpt-4.1")
    assert (record["provider"], record["simulated"], record["completion_tokens"]) == ("simulator", True, 20)
    assert record["ttft_ms"] > 0
    assert "secret" not in json.dumps(output["metadata"])
    everything = json.dumps(content)
    assert "widget-view" not in everything
    assert "widget-state" not in everything
    assert "sim_" not in everything


async def test_copying_a_saved_answer_gives_what_was_written(open_notebook: Open, echo: Echo) -> None:
    """Selected and copied, an answer has its own characters and no others: YAML, addresses, prices, code, escapes."""
    ask = f"""import holystream_nb as hs
for number, answer in enumerate({list(COPIED.values())!r}):
    await hs.stream(answer, model=f"ollama:copied-{{number}}", base_url={echo.url!r})"""
    notebook = await open_notebook(ask)
    cell = notebook.cell(1)
    await cell.run()
    texts = await cell.output.locator(".jp-RenderedMarkdown").evaluate_all(_SELECTED)
    assert len(texts) == len(COPIED)
    for (name, answer), text in zip(COPIED.items(), texts, strict=True):
        assert text.partition("ollama:copied-")[0].strip("\n") == copied(answer), name


async def test_html_in_an_answer_is_text(
    open_notebook: Open, echo: Echo, server: Server, journey: Journey, new_page: Callable[[], Awaitable[Page]]
) -> None:
    """Live, saved and opened again in a trusted notebook: markup is shown as it was written, and nothing acts."""
    notebook = await open_notebook(f"{echo.magic}\n{HOSTILE}")
    cell = notebook.cell(1)
    echo.hold()
    await cell.start()
    await expect(cell.live.locator(".hs-body")).to_contain_text(SHOWN[-1])
    await _is_harmless(cell, ".hs-body")
    echo.release()
    await cell.ended()
    await expect(cell.live).to_have_count(0)
    await _is_harmless(cell, ".jp-RenderedMarkdown")
    await notebook.save()
    await notebook.close()

    again = (await read_in_lab(await new_page(), server, notebook.file)).cell(1)
    await expect(again.output).to_contain_text(SHOWN[0])
    await _is_harmless(again, ".jp-RenderedMarkdown")
    assert not journey.hosts


async def _is_harmless(cell: Cell, answer: str) -> None:
    body = cell.output.locator(answer)
    text = await body.inner_text()
    for part in SHOWN:
        assert part in text
    await expect(body.locator(ACTING)).to_have_count(0)
    assert await cell.notebook.page.evaluate("window.pwned ?? null") is None


async def test_a_very_long_answer_is_saved_as_text(open_notebook: Open) -> None:
    """Above 300 kB the saved output is plain text, and whole."""
    notebook = await open_notebook("%%stream -m gpt-4.1#huge=400000\nHello")
    await notebook.cell(1).run()
    [output] = await notebook.cell(1).outputs()
    assert set(output["data"]) == {"text/plain"}
    assert f" b{'a' * 399_999}" in output["data"]["text/plain"]
