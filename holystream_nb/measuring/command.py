"""`holystream-nb bench`: a bench for a build, whose exit code says whether the limits held."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from typing import Any, Final

from .. import kinds
from ..errors import SetupError
from ..live.saved import printable
from .bench import bench
from .export import as_json, document, written
from .figures.checks import SHARES, Check, checks, fewest, split
from .result import Result
from .values.folder import path_of
from .values.prompts import read_prompts
from .values.words import counted

HELD: Final = 0
BROKEN: Final = 1
UNCLEAR: Final = 2
"""Nobody can say: an interval around the limit, requests missing, a setup that cannot be."""

EPILOG: Final = """\
exit code: 0 the limits held, 1 one was broken, 2 nobody can say (too few requests, requests missing, a wrong setup;
with --until-decided also that it was not decided), 130 it was stopped by Ctrl-C (what is there is kept).

A limit of ttft_ms, tpot_ms or e2e_s is one of each request: at least --share of the requests of every model are to keep
all of them. Any column of the summary may have one too (ttft_p95_ms=800, error_rate=1, decode_tokens_per_s=50: rates
are to be at least that). With --rate, limits of TTFT, TTFA and E2E are from the scheduled start. Verdicts are by 95 %
intervals: 72 requests are the fewest that can show a share of 0.95.
The table goes to standard output, progress to standard error; keys come from their variables only."""

_HANDED_ON: Final = (
    "repeats",
    "duration",
    "concurrency",
    "rate",
    "arrivals",
    "warmup",
    "seed",
    "max_cost",
    "timeout",
    "base_url",
    "key_variable",
    "path",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", action="append", required=True, metavar="PROVIDER:MODEL", help="may be repeated")
    parser.add_argument(
        "--prompts",
        required=True,
        metavar="FILE",
        help="a prompt a line; or .csv, .tsv, .json, .jsonl, as hs.bench takes them",
    )
    parser.add_argument("--limit", action="append", default=[], metavar="NAME=NUMBER", help="may be repeated")
    parser.add_argument("--share", type=float, default=0.95, help="of good requests (default 0.95)")
    parser.add_argument("--repeats", type=int, help="requests of each model and prompt (default 1, or until it ends)")
    parser.add_argument("--duration", type=float, metavar="S", help="after which nothing new begins")
    parser.add_argument(
        "--until-decided",
        nargs="?",
        const="ttft_ms",
        metavar="FIGURE",
        help="go on until two models' difference in it is clear (default ttft_ms), or --max-cost, --duration or "
        "--repeats ends it",
    )
    parser.add_argument("--concurrency", type=int, help="users at once (default 1)")
    parser.add_argument("--rate", type=float, help="requests a second, instead of users")
    parser.add_argument(
        "--arrivals", type=_arrivals, metavar="KIND", help="at that rate: poisson (default), constant, or a burstiness"
    )
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--max-cost", metavar="USD")
    parser.add_argument("--timeout", type=float, metavar="S")
    parser.add_argument("--base-url", metavar="URL")
    parser.add_argument("--key-variable", metavar="NAME", help="the variable that holds the key")
    parser.add_argument("--path", metavar="FILE", help="of the run (default: one in your data folder)")
    parser.add_argument("--json", metavar="FILE", help="write figures, verdicts and requests")
    parser.add_argument("--report", metavar="FILE", help="write a page of HTML")


_MEANT: Final = {
    "--users": "--concurrency",
    "--streams": "--concurrency",
    "--n": "--repeats",
    "--requests": "--repeats",
}


def check_names(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """Ends with what is meant by an option that there is not; argparse names another one that is missing then."""
    known = {"--help", *re.findall(r"--[a-z-]+", parser.format_usage())}
    for word in arguments:
        name = word.partition("=")[0]
        if name.startswith("--") and not any(each.startswith(name) for each in known):
            near = [_MEANT[name]] if name in _MEANT else get_close_matches(name, known, n=1)
            if near:
                parser.error(f"there is no {name}: did you mean {near[0]}?")


def run(options: argparse.Namespace) -> int:
    """Carries it out; the exit code. Raises HolystreamError, for which `UNCLEAR` is right."""
    limits = [*map(_limit, options.limit)]
    if twice := [name for name, count in Counter(name for name, _ in limits).items() if count > 1]:
        raise SetupError(f"--limit {twice[0]} is there more than once: give one number for it.")
    wanted, columns = split(dict(limits))
    share = kinds.number("--share", options.share, above=0)
    if share >= 1:
        raise SetupError("--share is below 1, as 0.95: no number of requests shows that all are good.")
    given: dict[str, Any] = {name: getattr(options, name) for name in _HANDED_ON}
    given |= {} if options.max_tokens is None else {"max_tokens": options.max_tokens}
    given |= {} if options.until_decided is None else {"until": "decided", "metric": options.until_decided}
    prompts = read_prompts("hs.bench", path_of(options.prompts))
    many = len(prompts.prompts)
    if options.repeats is not None or (options.duration is None and options.until_decided is None):
        stated = {**columns, **({"good_share": 100 * share} if wanted else {})}
        _foresee(stated, many, options.repeats or 1, options.concurrency or 1)
    with redirect_stdout(sys.stderr):
        result = asyncio.run(bench(options.model, prompts, limits=wanted or None, **given))
    found = checks(result, columns, share)
    code = exit_code(result, found)
    ending = _ENDINGS[code] if found else _NO_LIMITS[code]
    if code == UNCLEAR and not result.missing and (more := max((each.needed for each in found), default=0)):
        ending = f"{ending[:-1]}: ask with {_asking(result, more)}."
    _say([result.text.plain(), "", *(each.sentence for each in found), ending])
    if options.json:
        text = as_json({"exit_code": code, "checks": list(map(_plain, found)), **document(result)})
        written(options.json, lambda to: to.write_text(text, "utf-8"))
    if options.report:
        result.report(options.report)
    return code


def _foresee(limits: Mapping[str, float], prompts: int, repeats: int, users: int) -> None:
    """Says, before anything is paid for, which limits so many requests cannot show to be kept."""
    for name, limit in limits.items():
        needed = fewest(name, limit)
        if needed > 1 and users > 1 and name not in SHARES:
            needed += 2 * users  # about so many are no part of the steady part
        if needed > prompts * repeats:
            what = f"{limit:g} % keep the limits" if name == "good_share" else f"{name}={limit:g} is kept"
            print(
                f"WARNING: {counted(prompts * repeats, 'request')} of each model cannot show that {what}: "
                f"about {needed:,} are needed, --repeats {math.ceil(needed / prompts)}.",
                file=sys.stderr,
                flush=True,
            )


def _asking(result: Result, requests: int) -> str:
    """What brings a run like this to so many requests of each model."""
    if result.plan.repeats:
        return f"--repeats {math.ceil(requests / len(result.plan.prompts))}"
    return f"a longer --duration, of {requests:,} requests of each model"


def _say(lines: Sequence[str]) -> None:
    """To standard output, as long as somebody reads it: `| head` closes it, and the verdict stands all the same."""
    try:
        print("\n".join(map(printable, lines)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more at its end


def exit_code(result: Result, found: list[Check]) -> int:
    """Broken is broken, also in a part of a run; held needs all of it, an answer, and a decision if one was asked."""
    verdicts = {each.verdict for each in found}
    is_open = bool(result.plan.until_decided) and [end.reason for end in result.contents.ends[-1:]] != ["decided"]
    if "broken" in verdicts:
        return BROKEN
    if is_open or "unclear" in verdicts or result.missing or all(trial.error for trial in result.records):
        return UNCLEAR
    return HELD


_ENDINGS: Final = {HELD: "The limits held.", BROKEN: "The limits did not hold.", UNCLEAR: "Nobody can say yet."}
_NO_LIMITS: Final = {
    HELD: "No limit was stated.",
    UNCLEAR: "It did not come to its end or to a decision, or nothing was answered.",
}


def _plain(check: Check) -> dict[str, Any]:
    return {
        "model": check.arm,
        "name": check.name,
        "limit": check.limit,
        "found": check.found,
        "verdict": check.verdict,
    }


def _arrivals(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _limit(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        limit = float(number)
    except ValueError:
        raise SetupError(f"--limit {kinds.shown(text)}: write it as ttft_ms=800.") from None
    return name.strip(), kinds.number(f"--limit {name.strip()}", limit)
