"""What the simulator answers: tokens of reasoning and text, or tool calls, and why they end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from random import Random
from typing import Any

import msgspec

from . import echo, prose
from .faults import Faults
from .request import ChatRequest, Message, Resumed, Tool
from .schema import value_for
from .tokens import tokenize

_LEAST, _MOST = 120, 250
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ASKED: tuple[tuple[str, Callable[[prose.Topic], str]], ...] = (
    (r"\bcode\b|\bpython\b|\bfunction\b|\bscript\b", prose.code),
    (r"\btables?\b", prose.table),
    (r"\b(?:bullets?|lists?)\b", prose.bullets),
    (r"\b(?:steps|instructions)\b", prose.steps),
    (r"\b(?:maths?|mathematics|formula|equation)\b", prose.maths),
    (r"\b(?:quote|quotation)\b", prose.quote),
    (r"\b(?:tasks?|to-?do|checklist)\b", prose.tasks),
    (r"\b(?:emoji|chinese|japanese|korean|unicode)\b", prose.scripts),
)
_SECTIONS = tuple(section for _, section in _ASKED)
_COUNT = re.compile(r"\bcount (?:up )?to (\d{1,5})\b", re.IGNORECASE)
_REPEAT = re.compile(r"\s*repeat after me:[ \t]*\n?", re.IGNORECASE)
_ONLY_JSON = re.compile(r"\bone JSON object\b", re.IGNORECASE)
_THEN = re.compile(r"\bthen\b|\bafter (?:that|this|which)\b|\bafterwards\b", re.IGNORECASE)
_LAST_WORDS = re.compile(r"(?<!\S)(?:\S+\s+){0,7}\S*\s*$")
_LOOK_UP = Tool("look_up", {"properties": {"subject": {"type": "string"}}})
_SENTENCES = re.compile(rf"\bin ({'|'.join(_NUMBERS[1:])}|[1-9]\d?) (?:\w+ )?sentences?\b", re.IGNORECASE)


@dataclass(frozen=True)
class Call:
    """One tool call: `arguments` is JSON text in tokens; with its name it counts `len(arguments) + 1` tokens."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """One choice; `text` may be a sequence that makes its tokens as they are asked for.

    `stopped_by` is the stop sequence that ended it, "" where none did.
    """

    reasoning: Sequence[str]
    text: Sequence[str]
    calls: tuple[Call, ...]
    finish: str
    stopped_by: str = ""

    @property
    def tokens(self) -> int:
        """What usage reports as completion tokens."""
        return len(self.reasoning) + len(self.text) + sum(1 + len(call.arguments) for call in self.calls)


@dataclass(frozen=True)
class Stretch(Sequence[str]):
    """`size` tokens that are not kept: numbers ("0 ", "1 ", …), or `words` over and over."""

    size: int
    words: Sequence[str]

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(islice(self, *index.indices(self.size)))
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self.words[index % len(self.words)] if self.words else f"{index} "

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(self.size))


def answer(request: ChatRequest, seed: int, choice: int) -> Answer:
    """The answer to a request; the same request, seed and choice give the same answer."""
    if request.resumed is not None and (rest := _rest(request, request.resumed, seed, choice)) is not None:
        return rest
    rng = Random(f"answer {seed} {request.digest} {choice}")  # noqa: S311 - variety, not a secret
    faults, limit = request.faults, request.limit
    calls = _calls(request, rng)
    asked = request.profile.reasons if request.thinks is None else request.thinks
    reasons = asked or faults.reasoning is not None or faults.echo is not None
    reasoning: Sequence[str] = tokenize(prose.thoughts(_topic(request))) if reasons else []
    text: Sequence[str] = [] if calls else tokenize(_text(request, rng))
    if faults.tokens is not None and not calls:
        text = Stretch(faults.tokens, [] if faults.numbered else [*text, "\n\n"])
    elif faults.numbered:
        text = Stretch(len(text), [])
    text = _with_extra(text, faults)
    if reasoning and echo.spelling(faults) == "think":
        text, reasoning = [*tokenize("<think>\n"), *reasoning, *tokenize("\n</think>\n\n"), *text], []
    text, stopped_by = _until(request.stop, text)
    whole = Answer(reasoning, text, calls, "tool_calls" if calls else "stop", stopped_by)
    return whole if limit is None or whole.tokens <= limit else _shortened(whole, limit)


def _rest(request: ChatRequest, resumed: Resumed, seed: int, choice: int) -> Answer | None:
    """What is left of an answer that is to go on; None where it had been whole, or was another."""
    asked = replace(request, messages=resumed.messages, digest=resumed.digest, limit=None, resumed=None)
    whole = answer(asked, seed, choice)
    left = _behind(whole.text, resumed.said)
    if whole.calls or not left:
        return None
    last_words = _LAST_WORDS.search(resumed.said) if resumed.repeats else None
    rest = replace(whole, text=[*tokenize(last_words[0] if last_words else ""), *left])
    return rest if request.limit is None or rest.tokens <= request.limit else _shortened(rest, request.limit)


def _behind(tokens: Sequence[str], said: str) -> list[str]:
    """The tokens behind a text that they begin with; none where they begin with another."""
    at = 0
    for number, token in enumerate(tokens):
        if at + len(token) > len(said):
            kept = len(said) - at
            return [token[kept:], *tokens[number + 1 :]] if said.endswith(token[:kept]) else []
        if not said.startswith(token, at):
            return []
        at += len(token)
    return []


def _until(stop: Sequence[str], text: Sequence[str]) -> tuple[Sequence[str], str]:
    """The text before the first stop sequence in it, and that sequence; all of it and "" where there is none."""
    if not stop:
        return text, ""
    longest = max(map(len, stop))
    tail, before = "", 0
    for number, token in enumerate(text):
        window = tail + token
        found = [(at, each) for each in stop if (at := window.find(each)) >= 0]
        if found:
            at, word = min(found)
            return _tokens_up_to(text[: number + 1], before - len(tail) + at), word
        before += len(token)
        tail = window[-longest:]
    return text, ""


def _tokens_up_to(tokens: Sequence[str], size: int) -> list[str]:
    """The tokens of the first `size` characters, the last one cut where they end."""
    kept = []
    for token in tokens:
        if size <= 0:
            break
        kept.append(token[:size])
        size -= len(token)
    return kept


def _shortened(whole: Answer, limit: int) -> Answer:
    reasoning = whole.reasoning[:limit]
    limit -= len(reasoning)
    text = Stretch(limit, whole.text.words) if isinstance(whole.text, Stretch) else whole.text[:limit]
    calls = []
    for call in whole.calls:
        if limit > 0:
            calls.append(replace(call, arguments=call.arguments[: limit - 1]))
            limit -= 1 + len(calls[-1].arguments)
    return Answer(reasoning, text, tuple(calls), "length")


def _with_extra(text: Sequence[str], faults: Faults) -> Sequence[str]:
    """The text with the tokens that some faults add, after `after` tokens."""
    extra = []
    if faults.split_utf8:
        extra.append(" 🐑漢é")
    if faults.bad_utf8:
        extra.append(" \ufffd")  # `framing` makes a bad byte of it
    if faults.separators:
        extra.append(" \u2028 \u2029 \x85")
    if faults.huge:
        extra.append(" b" + "a" * (faults.huge - 1))
    return [*text[: faults.after], *extra, *text[faults.after :]] if extra else text


def _topic(request: ChatRequest) -> prose.Topic:
    asked = [message.text for message in request.messages if message.role == "user"] or [request.messages[-1].text]
    earlier = prose.subject(asked[-2]) if len(asked) > 1 else ""
    return prose.Topic(prose.subject(asked[-1]), earlier, request.profile)


def _prompt(request: ChatRequest) -> str:
    return next(
        (message.text for message in reversed(request.messages) if message.role == "user"), request.messages[-1].text
    )


def _text(request: ChatRequest, rng: Random) -> str:
    topic, prompt = _topic(request), _prompt(request)
    if found := _REPEAT.match(prompt):
        return prompt[found.end() :]
    if isinstance(request.json, dict):
        return _json(value_for(request.json, prompt))
    rules = (message.text for message in request.messages if message.role in ("system", "developer"))
    if request.json is True or any(map(_ONLY_JSON.search, rules)):
        return _json_about(topic)
    if results := [message for message in _since_prompt(request) if message.role == "tool"]:
        told = [prose.result(message.tool, message.text) for message in results]
        return "\n\n".join([prose.opening(topic), *told])
    if re.search(r"\bjson\b", prompt, re.IGNORECASE):
        return _json_about(topic)
    if found := _COUNT.search(prompt):
        return ", ".join(str(number) for number in range(1, int(found[1]) + 1))
    if found := _SENTENCES.search(prompt):
        return _sentences(topic, found[1].lower(), rng)
    asked = [section(topic) for pattern, section in _ASKED if re.search(pattern, prompt, re.IGNORECASE)]
    if asked:
        return "\n\n".join([prose.opening(topic), *asked])
    return _varied(topic, rng)


def _varied(topic: prose.Topic, rng: Random) -> str:
    """The opening and sections in a seeded order, until there are enough tokens and before there are too many."""
    text = prose.opening(topic)
    size = len(tokenize(text))
    for section in rng.sample(_SECTIONS, len(_SECTIONS)):
        more = "\n\n" + section(topic)
        if size < _LEAST and size + len(tokenize(more)) <= _MOST:
            text += more
            size += len(tokenize(more))
    return text


def _sentences(topic: prose.Topic, number: str, rng: Random) -> str:
    wanted = _NUMBERS.index(number) if number in _NUMBERS else int(number)
    first, *others = prose.sentences(topic)
    kept = others[:1] if topic.earlier else []
    rest = others[len(kept) :]
    rng.shuffle(rest)
    rest *= 1 + wanted // len(rest)
    return " ".join([first, *kept, *rest][:wanted])


def _json_about(topic: prose.Topic) -> str:
    return _json(
        {
            "simulated": True,
            "subject": topic.subject,
            "asked_before": topic.earlier or None,
            "model_played": topic.profile.model,
            "first_token_ms": topic.profile.first_ms,
            "gap_ms": topic.profile.gap_ms,
            "notes": ["no model was asked", "这是模拟器的回答"],
        }
    )


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _calls(request: ChatRequest, rng: Random) -> tuple[Call, ...]:
    """The calls of this round: the first after the prompt, and one more after each round of results."""
    prompt, shape = _prompt(request), request.faults.tools
    rounds = _rounds(request)
    wanted = request.faults.rounds or len(rounds)
    done = _rounds_done(request)
    called = rounds[min(done, len(rounds) - 1)] if done < wanted and rounds else []
    return tuple(
        Call(
            id=f"call_{rng.getrandbits(64):016x}",
            name=_spelt_name(tool.name, request.faults.names),
            arguments=() if shape == "no-arguments" else tuple(tokenize(_arguments(tool, prompt, request.faults))),
        )
        for tool in called
    )


def _spelt_name(name: str, shape: str | None) -> str:
    return {"prefix": f"functions.{name}", "channel": f"{name}<|channel|>commentary"}.get(shape or "", name)


def _arguments(tool: Tool, prompt: str, faults: Faults) -> str:
    """The arguments of a call as JSON, in the shape that a fault names."""
    values = value_for(tool.parameters or {"type": "object"}, prompt)
    if isinstance(values, dict):
        match faults.arguments:
            case "strings":
                values = {name: _as_string(value) for name, value in values.items()}
            case "floats":
                values = {name: float(value) if type(value) is int else value for name, value in values.items()}
            case "nulls":
                values |= dict.fromkeys(tool.parameters.get("properties", {}).keys() - values.keys())
            case "extra":
                values["explanation"] = "because"
    written = msgspec.json.encode(values).decode()
    return msgspec.json.encode(written).decode() if faults.arguments == "twice" else written


def _as_string(value: Any) -> Any:
    """A number or a truth value as models write it in quotes."""
    return msgspec.json.encode(value).decode() if isinstance(value, bool | int | float) else value


def _rounds(request: ChatRequest) -> list[list[Tool]]:
    """Which tools are called, round by round: those that must be, or those whose names the prompt mentions.

    What stands behind a "then" in the prompt is called when the results of what stands before it are there.
    """
    prompt, shape = _prompt(request), request.faults.tools
    parts = [[tool for tool in request.tools if _is_mentioned(tool, part)] for part in _THEN.split(prompt)]
    rounds = [part for part in parts if part]
    if request.wanted_tool:
        wanted = [tool for tool in request.tools if tool.name == request.wanted_tool]
        rounds = [wanted or [tool for part in rounds for tool in part] or list(request.tools[:1])]
    if shape or request.faults.rounds:
        rounds = rounds or [list(request.tools[:1])]
        rounds = [part or [_LOOK_UP] for part in rounds]
    if shape == "interleaved":
        return [(part * 2)[:2] for part in rounds]
    return rounds if request.parallel_calls or shape else [[tool] for part in rounds for tool in part]


def _since_prompt(request: ChatRequest) -> Sequence[Message]:
    """The messages after the last one of the user."""
    roles = [message.role for message in request.messages]
    return request.messages[len(roles) - roles[::-1].index("user") :] if "user" in roles else request.messages


def _rounds_done(request: ChatRequest) -> int:
    """How often tools have answered since the prompt, however many at a time."""
    return sum(role == "tool" for role, _ in groupby(message.role for message in _since_prompt(request)))


def _is_mentioned(tool: Tool, prompt: str) -> bool:
    """By its name, or what stands behind a server's in it ("library__search")."""
    server, _, own = tool.name.rpartition("__")
    spoken = (rf"(?:{re.escape(server)}__)?" if server else "") + re.escape(own).replace("_", "[_ ]")
    return re.search(rf"\b{spoken}\b", prompt, re.IGNORECASE) is not None
