"""Beside guidellm and aiperf on a real engine, the same workload, against what the engine says of itself.

Five runs of each, taking turns: two users in a closed loop, a prompt each time and 32 tokens, no prompt cache. The
engine's own times are those of its log. What the least of five and the most of five enclose holds the median with 94 %
confidence, whatever its distribution. TTFT contains what the engine does not count: its queue, HTTP, and the way.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import holystream_nb as hs
from tests.real.programs import Engine, engine

from .figures import Figure

PEERS: Final = Path(__file__).parents[2] / ".venv-peers"
ROUNDS: Final = 5
USERS: Final = 2
WARMUPS: Final = 2
TOKENS: Final = 32
TOPICS: Final = (
    *("rivers", "clouds", "bread", "bees", "glass", "tides", "maps", "salt", "ships", "clocks", "bridges", "paper"),
    *("trees", "markets", "wool", "stones", "trains", "lamps", "ponds", "roads", "kites", "mills", "ovens", "doors"),
)
PROMPTS: Final = [f"Tell me in a few sentences about {topic}." for topic in TOPICS]
FIELDS: Final = {"temperature": 0, "cache_prompt": False}
_TOKENIZER: Final = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", bos_token="[UNK]", eos_token="[UNK]")
made.save_pretrained(sys.argv[1])
"""
"""aiperf wants one although it counts by the service's usage; those that it knows by name come from the internet."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run of a tool: medians over requests of TTFT (ms) and decode tok/s, and how many requests it says it made."""

    ttft_ms: float
    tokens_per_s: float
    requests: int


def ours(target: Engine, folder: Path) -> Seen:
    result = hs.run(
        hs.bench(
            (target.url, target.model),
            PROMPTS,
            concurrency=USERS,
            warmup=WARMUPS,
            cache=True,
            calibrate=False,
            path=folder / "ours.jsonl",
            max_tokens=TOKENS,
            **FIELDS,
        )
    )
    rows = result.trials[result.trials["error"] == ""]
    return Seen(float(rows["ttft_ms"].median()), float(rows["decode_tokens_per_s"].median()), len(rows))


def guidellm(target: Engine, folder: Path) -> Seen:
    data, report = folder / "guidellm.jsonl", folder / "guidellm.json"
    data.write_text("".join(f"{json.dumps({'prompt': prompt})}\n" for prompt in (*PROMPTS[:WARMUPS], *PROMPTS)))
    backend = {
        "kind": "openai_http",
        "target": target.url.removesuffix("/v1"),
        "model": target.model,
        "max_tokens": TOKENS,
        "extras": {"body": FIELDS},
    }
    run_peer(
        *("guidellm", "run", "--backend", json.dumps(backend)),
        *("--profile", json.dumps({"kind": "concurrent", "streams": USERS})),
        *("--constraint", json.dumps({"kind": "max_requests", "count": WARMUPS + len(PROMPTS)})),
        *("--data", json.dumps({"kind": "json_file", "path": str(data)})),
        *("--output", json.dumps({"kind": "json", "path": str(report)}), "--disable-console"),
    )
    [benchmark] = json.loads(report.read_text())["benchmarks"]
    # It has no warm-up by number: the first requests are left out here.
    made = sorted(benchmark["requests"]["successful"], key=lambda each: each["request_start_time"])[WARMUPS:]
    ttfts = [each["time_to_first_token_ms"] for each in made]
    rates = [1e3 / each["inter_token_latency_ms"] for each in made]
    return Seen(median(ttfts), median(rates), len(made))


def aiperf(target: Engine, folder: Path) -> Seen:
    data, tokenizer, artifacts = folder / "aiperf.jsonl", folder / "tokenizer", folder / "artifacts"
    data.write_text("".join(f"{json.dumps({'text': prompt})}\n" for prompt in PROMPTS))
    run_peer("python", "-c", _TOKENIZER, str(tokenizer))
    run_peer(
        *("aiperf", "profile", "-m", target.model, "-u", target.url.removesuffix("/v1"), "--endpoint-type", "chat"),
        *("--streaming", "--input-file", str(data), "--custom-dataset-type", "single_turn", "--ui", "none"),
        *("--use-server-token-count", "--tokenizer", str(tokenizer), "--concurrency", str(USERS)),
        *("--request-count", str(len(PROMPTS)), "--warmup-request-count", str(WARMUPS)),
        *("--extra-inputs", json.dumps({"max_tokens": TOKENS, **FIELDS}), "--artifact-dir", str(artifacts)),
    )
    lines = [json.loads(line) for line in (artifacts / "profile_export.jsonl").read_text().splitlines()]
    profiled = [line for line in lines if line["metadata"]["benchmark_phase"] == "profiling"]
    made = [line["metrics"] for line in profiled if not line.get("error")]  # a failed one has no figures
    if failed := [line["error"] for line in profiled if line.get("error")]:
        print(f"aiperf: {len(failed)} of {len(profiled)} failed, the first with {failed[0]}")
    ttfts = [each["time_to_first_token"]["value"] for each in made]
    rates = [1e3 / each["inter_token_latency"]["value"] for each in made]
    return Seen(median(ttfts), median(rates), len(made))


TOOLS: Final[dict[str, Callable[[Engine, Path], Seen]]] = {
    "holystream_nb": ours,
    "guidellm": guidellm,
    "aiperf": aiperf,
}


def measure() -> list[Figure]:
    if not (PEERS / "ready").exists():
        raise SystemExit("guidellm and aiperf are not here: `make bench` installs them into .venv-peers (2 minutes).")
    seen: dict[str, list[tuple[Seen, float, float]]] = {name: [] for name in TOOLS}
    with engine("smollm2-135m.gguf", "smollm2-135m") as target, tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            for name in _turned(list(TOOLS), number):
                place = Path(folder) / f"{name}{number}"
                place.mkdir()
                seen[name].append(_beside_the_engine(TOOLS[name], target, place))
    sure = 100 * (1 - 2 * 0.5**ROUNDS)
    print(f"spread: from the least of {ROUNDS} runs to the most, which holds the median with {sure:.0f} % confidence")
    return [
        *_figures("TTFT p50 − the engine's prompt time", "ms", seen, lambda run, prompt, _: run.ttft_ms - prompt),
        *_figures("decode tok/s / the engine's", "×", seen, lambda run, _, rate: run.tokens_per_s / rate),
        *_figures("requests counted", "", seen, lambda run, *_: float(run.requests)),
    ]


def _beside_the_engine(tool: Callable[[Engine, Path], Seen], target: Engine, folder: Path) -> tuple[Seen, float, float]:
    """What a tool saw, and the medians of the engine's own prompt times (ms) and tok/s of the same requests."""
    target.until_free()
    since = len(target.log.read_text("utf-8", "replace"))
    run = tool(target, folder)
    target.until_free()
    own = target.timings(since)[-len(PROMPTS) :]
    return run, median(each.prompt_ms for each in own), median(each.tokens_per_s for each in own)


def _figures(
    what: str,
    unit: str,
    seen: dict[str, list[tuple[Seen, float, float]]],
    figure: Callable[[Seen, float, float], float],
) -> list[Figure]:
    return [Figure(f"{name}: {what}", tuple(figure(*run) for run in runs), unit) for name, runs in seen.items()]


def _turned(names: Sequence[str], number: int) -> list[str]:
    """Another begins each time."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def run_peer(program: str, *arguments: str) -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [PEERS / "bin" / program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise SystemExit(f"{program} ended with {done.returncode}:\n{done.stdout[-3000:]}")
