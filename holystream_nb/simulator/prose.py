"""What the simulator has to say: sentences and sections about itself, never about the world.

Every piece is true of the simulator, so that nobody can take it for a model's knowledge; together they use what a
display must be able to draw.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .profiles import Profile

_VERBS = re.compile(
    r"^(?:please |can you |could you |now )*"
    r"(?:explain|describe|summari[sz]e|define|compare|discuss|(?:tell me|write) about|what (?:is|are)|how do(es)?)\s+",
    re.IGNORECASE,
)
_LENGTHS = re.compile(r"\s+in (?:\w+ ){1,2}(?:sentences?|words?|paragraphs?|lines?)\b.*$", re.IGNORECASE | re.DOTALL)
_UNSAFE = re.compile(r"[^\w\s.,:;?!'()+/-]+")


@dataclass(frozen=True)
class Topic:
    """What an answer speaks of: the prompt's subject, the subject asked about before (or ""), the model played."""

    subject: str
    earlier: str
    profile: Profile


def subject(prompt: str) -> str:
    """What a prompt is about, in its own words: at most 60 characters, no Markdown in it."""
    words = " ".join(_UNSAFE.sub(" ", prompt).split())
    short = _LENGTHS.sub("", _VERBS.sub("", words)).strip(" .,:;?!") or words
    if len(short) > 60:
        short = short[:60].rsplit(" ", 1)[0].rstrip(" .,:;?!") + " …"
    return short or "nothing in particular"


def opening(topic: Topic) -> str:
    """Says what this is, quotes the subject, and remembers the conversation."""
    before = f" You asked before about *{topic.earlier}*." if topic.earlier else ""
    return (
        f"🐑 **A simulated answer.** No model has read your words about *{topic.subject}*: this comes from the "
        f"simulator on your own machine, which keeps the pace of {topic.profile.model}.{before}"
    )


def sentences(topic: Topic) -> list[str]:
    """Sentences that stand alone, each with one full stop at its end."""
    first, gap = f"{topic.profile.first_ms:,.0f} ms", f"{topic.profile.gap_ms:.0f} ms"
    spoken = [f"You asked before about {topic.earlier}, and the simulator has kept that much."] if topic.earlier else []
    return [
        f"This is the simulator, and no model has read your words about {topic.subject}.",
        *spoken,
        f"What you see arrives one token at a time, the first after about {first} at speed 1.",
        f"Between two tokens pass about {gap}, with some jitter, as the documents describe {topic.profile.model}.",
        "The same question with the same seed brings the same answer, down to the last byte.",
        "A fault can be asked for in a header, so that a broken connection can be practised without one.",
        f"With a key of your own, the same cell would ask a real service about {topic.subject}.",
        "Nothing of this leaves your machine, and nothing of it costs anything.",
    ]


def bullets(topic: Topic) -> str:
    """A list."""
    return (
        "What is real about it:\n\n"
        "- the **wire**: server-sent events or sockets, one token per event\n"
        f"- the *pace*: about {topic.profile.first_ms:,.0f} ms, then {topic.profile.gap_ms:.0f} ms a token at speed 1\n"
        "- the `usage` report: it counts exactly these tokens"
    )


def steps(topic: Topic) -> str:
    """A numbered list."""
    return (
        "What happened:\n\n"
        f"1. Your request named the model {topic.profile.model}.\n"
        f"2. The simulator found the subject, {topic.subject}.\n"
        "3. It waited as long as the profile says, and began to send."
    )


def table(topic: Topic) -> str:
    """A table."""
    profile = topic.profile
    return (
        "| figure | value |\n"
        "|:--|--:|\n"
        f"| first token | {profile.first_ms:,.0f} ms |\n"
        f"| gap | {profile.gap_ms:.0f} ms |\n"
        f"| source | {profile.source} |"
    )


def code(topic: Topic) -> str:
    """A code block."""
    return (
        "```python\n"
        f'subject = "{topic.subject}"\n'
        "for number, word in enumerate(subject.split()):\n"
        '    print(f"{number}: {word}")  # a < b & c\n'
        "```"
    )


def maths(topic: Topic) -> str:
    """Maths, in the line and by itself."""
    first, gap = topic.profile.first_ms, topic.profile.gap_ms
    return (
        "With $t_1$ to the first token and $g$ between two, an answer of $n = 100$ tokens takes\n\n"
        f"$$T = t_1 + (n - 1)\\,g = {first:.0f} + 99 \\cdot {gap:.0f} = {first + 99 * gap:.0f}\\ \\text{{ms}}$$"
    )


def quote(topic: Topic) -> str:
    """A quotation, of the prompt."""
    return f"> {topic.subject}\n\nThat is your own phrase, quoted; a display should set it apart."


def tasks(topic: Topic) -> str:
    """A task list."""
    return f"- [x] {topic.subject}: received\n- [x] first token: sent\n- [ ] a real model: not asked"


def scripts(topic: Topic) -> str:
    """Other scripts, and emoji."""
    return (
        "In other scripts: 这是模拟器的回答。 これはシミュレーターの答えです。 시뮬레이터의 답입니다. "
        "Déjà vu, naïve façade; 🚀 👩‍🔬 🇨🇭 ✅."
    )


def result(tool: str, text: str) -> str:
    """Says what a tool returned, in one line of at most some 200 characters."""
    shown = " ".join(text.split())[:200].replace("`", "'")
    return f"The tool {tool} returned `{shown}`." if tool else f"The tool returned `{shown}`."


def focus(wanted: str) -> str:
    """Says that the context has been updated."""
    return f"Your update has arrived: from here on the focus is *{subject(wanted)}*."


def thoughts(topic: Topic) -> str:
    """A rehearsal of reasoning."""
    return (
        f"The subject seems to be {topic.subject}. I am the simulator and know nothing about it, so I cannot answer. "
        "I can say that this is a simulation, and show what a display must draw. A short text with a list will do. "
        f"The model to play is {topic.profile.model}."
    )
