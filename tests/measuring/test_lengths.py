"""Finding out how many words have a prompt's tokens, where not every length fits into the model."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from raw_service import Asked, Service, Writer, serving

import holystream_nb as hs

TEMPLATE = 35


def slot(most: int) -> AbstractAsyncContextManager[Service]:
    """A chat service with a slot of so many tokens: of a prompt one for each word, and `TEMPLATE`."""

    async def answer(asked: Asked, writer: Writer) -> None:
        tokens = len(asked.body["messages"][0]["content"].split()) + TEMPLATE
        if tokens + asked.body["max_tokens"] > most:
            said = f"request ({tokens} tokens) exceeds the available context size ({most} tokens)"
            body = json.dumps({"error": {"code": 400, "message": said, "type": "exceed_context_size_error"}}).encode()
            await writer.head(b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            return
        await writer.head()
        await writer.text("one")
        await writer.finish("length")
        await writer.usage(1, prompt=tokens)
        await writer.event("[DONE]")
        await writer.end()

    return serving(answer)


@pytest.mark.slow
@pytest.mark.parametrize("most", [1024, 700, 200])
async def test_a_length_that_does_not_fit_leaves_the_others_exact(most: int, tmp_path: Path) -> None:
    """Of prompts of 100, 500 and 2,000 tokens all had 35 too many, because the longest was refused."""
    async with slot(most) as service:
        result = await hs.bench(
            "m",
            hs.synthetic([100, 500, 2000], 20),
            base_url=service.url,
            api_key="none",
            calibrate=False,
            path=tmp_path / "run.jsonl",
        )
    counts = {result.plan.prompts[trial.prompt].input_tokens: trial for trial in result.records}  # type: ignore[union-attr]
    fitting = [tokens for tokens in (100, 500, 2000) if tokens + 20 <= most]
    assert [counts[tokens].prompt_tokens for tokens in fitting] == fitting
    assert {trial.error for tokens, trial in counts.items() if tokens not in fitting} == {"PromptTooLong"}
    assert any("PromptTooLong" in note for note in result.notes)
    assert not any(note.startswith("Input tokens of what was asked for") for note in result.notes)
    mixed = "Prompts of 3 lengths are mixed in every figure here: result.by_prompt() has them one by one."
    assert mixed in result.notes
    assert "(a synthetic prompt of 500 tokens)" in list(result.by_prompt()["question"])
