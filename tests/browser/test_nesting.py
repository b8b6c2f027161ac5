"""The magic where it cannot be awaited: inside other cell magics, and with autoawait off."""

from __future__ import annotations

from playwright.async_api import expect

from .conftest import Open

STREAM = "%%stream -m gpt-4.1#numbered,tokens=30 --as reply\nCount."
ANSWER = " ".join(str(number) for number in range(30))


async def test_a_captured_answer_can_be_shown_later(open_notebook: Open) -> None:
    """Under %%capture nothing is drawn; what was captured shows the answer as Markdown."""
    notebook = await open_notebook(f"%%capture kept\n{STREAM}", "kept.show()")
    await notebook.cell(1).run()
    assert await notebook.cell(1).outputs() == []
    await notebook.cell(2).run()
    [output] = await notebook.cell(2).outputs()
    assert set(output["data"]) == {"text/markdown", "text/plain"}
    await expect(notebook.cell(2).output.locator(".jp-RenderedMarkdown")).to_contain_text(ANSWER)


async def test_a_timed_answer_has_both_outputs(open_notebook: Open) -> None:
    """Under %%time the answer and the time are there, and the cell has not failed."""
    notebook = await open_notebook(f"%%time\n{STREAM}", "print(reply.text)")
    await notebook.cell(1).run()
    await notebook.cell(2).run()
    assert await notebook.cell(1).error() is None
    await expect(notebook.cell(1).output).to_contain_text("Wall time")
    await expect(notebook.cell(1).output.locator(".jp-RenderedMarkdown")).to_contain_text(ANSWER)
    assert (await notebook.cell(2).printed()).strip() == ANSWER


async def test_without_autoawait_the_answer_comes_all_the_same(open_notebook: Open) -> None:
    """With %autoawait off the magic runs synchronously, and leaves the same output."""
    notebook = await open_notebook("%autoawait off", STREAM, "print(reply.text)")
    for number in (1, 2, 3):
        await notebook.cell(number).run()
    assert await notebook.cell(2).error() is None
    await expect(notebook.cell(2).output.locator(".jp-RenderedMarkdown")).to_contain_text(ANSWER)
    await expect(notebook.cell(2).live).to_have_count(0)
    assert (await notebook.cell(3).printed()).strip() == ANSWER
