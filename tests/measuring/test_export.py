"""What leaves for other programs and readers: rows of one schema, and a page that needs nothing else."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from missing import imported

from holystream_nb.errors import SetupError
from holystream_nb.measuring.export import schema
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Trial

Make = Callable[..., Trial]
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def some(trial: Make, result: Callable[..., Result]) -> Result:
    return result(
        trial(ttft=300, usd=Decimal("0.0000012"), response_id="r-1"),
        trial(repeat=1, error="RateLimited", message="=cmd|' /C calc'!A0", status=429, usd=None, end=900_000_000),
        repeats=2,
        limits={"ttft_ms": 500},
    )


def test_json_has_the_names_and_units_of_opentelemetry(some: Result, tmp_path: Path) -> None:
    """By hand: TTFT 0.3 s of 300 ms, the failure's class and status, costs exact and as texts, and its own schema."""
    written = json.loads(some.to_json(tmp_path / "run.json").read_text("utf-8"))
    first, second = written["requests"]
    assert first["gen_ai.request.model"] == "a"
    assert first["gen_ai.provider.name"] == "simulator"
    assert first["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.3)
    assert first["gen_ai.client.operation.duration"] == pytest.approx(0.38)
    assert (first["gen_ai.usage.input_tokens"], first["gen_ai.usage.output_tokens"]) == (10, 3)
    assert (first["gen_ai.response.finish_reasons"], first["error.type"]) == (["stop"], None)
    assert (first["holystream.cost_usd"], second["holystream.cost_usd"]) == ("0.0000012", None)
    assert first["holystream.gap_max_s"] == pytest.approx(0.06)
    assert (second["error.type"], second["http.response.status_code"]) == ("RateLimited", 429)
    assert second["gen_ai.client.operation.duration"] == pytest.approx(0.8)
    assert set(first) == set(second) == set(written["schema"]["required"]) == set(schema()["properties"])
    assert written["run"]["limits"] == {"ttft_ms": 500}
    jsonschema = imported("jsonschema")
    for row in written["requests"]:
        jsonschema.validate(row, written["schema"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(row | {"holystream.bytes": "many"}, written["schema"])
    assert written["summary"]["simulator:a"]["ttft_p50_ms"]["value"] == pytest.approx(300)


def test_csv_and_parquet_have_the_same_rows(some: Result, tmp_path: Path) -> None:
    """The same names; whole numbers stay whole beside a missing one, and no cell is a formula to a spreadsheet."""
    with some.to_csv(tmp_path / "run.csv").open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == list(schema()["properties"])
    assert (first["holystream.cost_usd"], first["gen_ai.usage.output_tokens"]) == ("0.0000012", "3")
    assert (first["http.response.status_code"], second["http.response.status_code"]) == ("", "429")
    assert second["holystream.message"] == "'=cmd|' /C calc'!A0"
    pandas = imported("pandas")
    imported("pyarrow")
    frame = pandas.read_parquet(some.to_parquet(tmp_path / "run.parquet"))
    assert list(frame.columns) == list(schema()["properties"])
    assert frame["holystream.cost_usd"][0] == Decimal("0.0000012")
    assert frame["gen_ai.response.time_to_first_chunk"][0] == pytest.approx(0.3)


def test_rows_say_what_was_asked_and_answered(trial: Make, result: Callable[..., Result], tmp_path: Path) -> None:
    """By name and text, so that a file is of use alone; no answer of a model's is a formula or parts a row."""
    answers = ("=1+1", "- one\r- two", "＝1", "Grüße, 世界", "")
    made = result(
        *(trial(repeat=repeat, text=text) for repeat, text in enumerate(answers)),
        repeats=5,
        prompts=([{"role": "system", "content": "Be short."}, {"role": "user", "content": "Say\r\nhello"}],),
        names=("greeting",),
    )
    first, *rest = json.loads(made.to_json(tmp_path / "run.json").read_text("utf-8"))["requests"]
    names = [f"holystream.{name}" for name in ("prompt_name", "question", "answer")]
    assert [first[name] for name in names] == ["greeting", "Say\r\nhello", "=1+1"]
    assert [each["holystream.answer"] for each in rest] == ["- one\r- two", "＝1", "Grüße, 世界", None]
    pandas = imported("pandas")
    frame = pandas.read_csv(made.to_csv(tmp_path / "run.csv"), keep_default_na=False)
    assert frame[names[0]].tolist() == ["greeting"] * 5
    assert frame[names[1]].tolist() == ["Say\nhello"] * 5
    assert frame[names[2]].tolist() == ["'=1+1", "'- one\n- two", "'＝1", "Grüße, 世界", ""]
    assert (tmp_path / "run.csv").read_bytes().startswith(b"\xef\xbb\xbfgen_ai")


def test_prompts_without_names_have_none(some: Result, tmp_path: Path) -> None:
    """Nor has a run that kept no answers any."""
    row = json.loads(some.to_json(tmp_path / "run.json").read_text("utf-8"))["requests"][0]
    assert [row[f"holystream.{name}"] for name in ("prompt_name", "question", "answer")] == [None, "Hello", None]


def test_parquet_files_of_any_two_runs_are_one_table(
    some: Result, trial: Make, result: Callable[..., Result], tmp_path: Path
) -> None:
    """Columns have one type each, also where all their values are missing or a cost has more digits."""
    dataset = imported("pyarrow.dataset")
    other = result(trial(ttft=300.5, usd=Decimal("12.00000000012345"), events=[2, 1, 1], reasoning_tokens=1))
    files = [str(each.to_parquet(tmp_path / f"{n}.parquet")) for n, each in enumerate((some, other))]
    one, two = (dataset.dataset(file).schema for file in files)
    assert one.remove_metadata() == two.remove_metadata()
    whole = dataset.dataset(files).to_table().to_pydict()
    assert whole["holystream.cost_usd"] == [Decimal("0.0000012"), None, Decimal("12.00000000012345")]
    assert whole["gen_ai.response.finish_reasons"] == [["stop"]] * 3


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_said(some: Result, tmp_path: Path) -> None:
    """One sentence, whatever the format."""
    (tmp_path / "taken").mkdir()
    for write in (some.to_csv, some.to_json, some.to_parquet, some.report):
        with pytest.raises(SetupError, match="cannot be written"):
            write(tmp_path / "taken")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.slow
def test_a_report_is_one_page_without_script(trial: Make, result: Callable[..., Result], tmp_path: Path) -> None:
    """Hostile names and errors are text; every image is inside, in both lights, and says what it shows."""
    model = f"simulator:{HOSTILE}"
    made = result(
        *(trial(model, repeat=i, error=HOSTILE if i == 9 else "", price_note="simulated") for i in range(10)),
        repeats=10,
    )
    page = made.report(tmp_path / "sub" / "x.html").read_text("utf-8")
    tags = _Tags()
    tags.feed(page)
    names = [tag for tag, _ in tags.found]
    assert "script" not in names
    assert not re.search(r"(src|href|srcset)=\"(?!data:image/png)", page)
    images = [attrs for tag, attrs in tags.found if tag == "img"]
    assert len(images) == names.count("source") == 3
    assert all(attrs["alt"] and attrs["src"].startswith("data:image/png;base64,") for attrs in images)
    assert not any(name.startswith("on") for _, attrs in tags.found for name in attrs)
    assert re.search(r"USD per 1k requests</th><td>[\d.]+ \(simulated\)</td>", page)
    assert "CNY per request" not in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
