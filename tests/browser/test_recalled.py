"""Answers that are found again and continued, in a page."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import expect

from .conftest import Open

APPLICATIONS = pytest.mark.parametrize("application", ["lab", "notebook7"])
TELL = """from dataclasses import asdict
import json, holystream_nb as hs
print(json.dumps(asdict(hs.history.all()[-1].origin)))"""
MARK = "zebras of the seventh savanna"


@APPLICATIONS
async def test_a_cut_answer_is_found_by_its_words_and_goes_on_in_another_cell(
    open_notebook: Open, application: str
) -> None:
    """The journal knows notebook and cell; the table is drawn; the joined answer is the output that is saved."""
    notebook = await open_notebook(
        f"%%stream -m gpt-4.1#rate=60 -n 30\nTell me of {MARK}",
        TELL,
        f"%stream find {MARK}",
        "%stream continue",
        "print(hs.history[-2].text)",
        application=application,
    )
    for number in (1, 2, 3):
        await notebook.cell(number).run()
    origin = json.loads(await notebook.cell(2).printed())
    assert origin["door"] == "cell"
    assert origin["notebook"].endswith(".ipynb")
    assert origin["cell"]
    assert origin["execution"]
    await expect(notebook.cell(3).output.locator("table")).to_contain_text(MARK)

    recording = await notebook.cell(4).watch()
    await notebook.cell(4).run()
    await notebook.cell(5).run()
    before = (await notebook.cell(5).printed()).strip()
    bodies = [body for body in await recording.bodies() if body.strip()]
    assert len(bodies) > 2
    assert all("No model has read your words" in body for body in bodies)  # what was cut is there from the first
    (saved,) = await notebook.cell(4).outputs()
    plain = "".join(saved["data"]["text/plain"])
    assert plain.startswith(before)
    assert len(plain.partition("\n\n[")[0]) > len(before) + 20
    assert "continued: figures of the new part" in plain
