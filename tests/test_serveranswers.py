"""What the Jupyter server gives of the journal: to those who may read its files, and of what they name alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from browser.server import TOKEN, Server, serving
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from holystream_nb.journal.journal import Journal
from holystream_nb.journal.values import Origin

pytestmark = pytest.mark.slow

KEY: Final = {"Authorization": f"token {TOKEN}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose journal has an answer of each of two notebooks, and one of a file outside its folder."""
    root = tmp_path_factory.mktemp("served")
    with serving(root) as running:
        own = Journal()
        own.configure(journal=root / "journal")
        places = ((running.folder / "a.ipynb", "1"), (running.folder / "b.ipynb", "2"), (root / "c.ipynb", "3"))
        for file, number in places:
            origin = Origin("cell", str(file), cell=f"cell-{number}", execution=f"execution-{number}")
            own.begin(origin, model="m", messages=[]).end(text=f"said in {file.stem}", state="done")
        own.close()
        yield running


async def fetch(server: Server, *asked: tuple[str, str], headers: dict[str, str] = KEY) -> HTTPResponse:
    address = f"{server.url}holystream_nb/answers?{urlencode(asked)}"
    return await AsyncHTTPClient().fetch(address, headers=headers, follow_redirects=False, raise_error=False)


async def given(server: Server, *asked: tuple[str, str]) -> list[str]:
    """The first lines of what is given."""
    response = await fetch(server, *asked)
    assert response.code == 200
    outputs: list[dict[str, Any]] = json.loads(response.body)["outputs"]
    return sorted("".join(output["data"]["text/plain"]).splitlines()[0] for output in outputs)


async def test_nothing_is_given_without_the_servers_token(server: Server) -> None:
    """As of its files: the answer is a refusal without a word of the journal, and what is given is never cached."""
    for headers in ({}, {"Authorization": "token another"}):
        refused = await fetch(server, ("notebook", "a.ipynb"), headers=headers)
        assert refused.code == 403
        assert b"said in" not in refused.body
    assert (await fetch(server, ("notebook", "a.ipynb"))).headers["Cache-Control"] == "no-store"


async def test_the_answers_of_the_notebook_that_is_named_are_given(server: Server) -> None:
    """No other's, and none where none is named."""
    assert await given(server, ("notebook", "a.ipynb")) == ["said in a"]
    assert await given(server, ("notebook", "/b.ipynb")) == ["said in b"]
    assert await given(server, ("notebook", "")) == []
    assert await given(server) == []


@pytest.mark.parametrize("outside", ["../c.ipynb", "x/../../c.ipynb", "/../c.ipynb"])
async def test_no_path_leads_out_of_the_servers_folder(server: Server, outside: str) -> None:
    """Nor does one that is whole."""
    assert await given(server, ("notebook", outside)) == []
    assert await given(server, ("notebook", str(server.folder.parent / Path(outside).name))) == []


async def test_an_answer_of_another_name_is_given_to_who_knows_its_cell_and_execution(server: Server) -> None:
    """Both, of one answer."""
    assert await given(server, ("mark", "cell-2,execution-2")) == ["said in b"]
    for mark in ("cell-2,", ",execution-2", "cell-2", "cell-2,execution-1", "%,%"):
        assert await given(server, ("mark", mark)) == []
