"""What looks like a key is taken out of a text: services echo keys, and so do tools.

`MARKS` says in words what is known by a mark; users read it in `holystream-nb journal --help`. It changes with `_KEYS`.

Without a mark: 32 to 84 letters and digits (Azure, Mistral, Cohere, DeepInfra, Databricks), which `redact` takes out
too; and a UUID, as any request's id is one (Ark, SambaNova): it goes only where the key is known or named before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from holystream_nb.providers.secret import Key

Hidden = str | Sequence[Key]
"""Keys that a message must not contain."""

MARKS: Final = """\
sk- (OpenAI, Anthropic, DeepSeek, OpenRouter, Kimi, Qwen, SiliconFlow, LiteLLM, MiniMax), sk_ (Novita), hs (HolySheep),
gsk_ (Groq), xai-, csk- (Cerebras), fw_ (Fireworks), tgp_ (Together), pplx-, nvapi-, hf_, r8_ (Replicate),
vck_ (Vercel), gh?_ and github_pat_ (GitHub), glpat-, bedrock-api-key- and ABSK (Bedrock), AKIA and ASIA (AWS),
AIza, AQ. and ya29. (Google), eyJ (JWT: Nebius, Hyperbolic, MiniMax), 32 hex digits with a dot and 16 more (GLM),
xox?- (Slack), the password of user:password@ in an address; and what follows the words Bearer, Basic, password,
client secret, and api, access, auth, subscription or secret with key or token, or a NAME_IN_CAPITALS that ends in
_KEY, _TOKEN, _SECRET or _PASSWORD, and : or =, if it has a digit or 16 letters in a row and is no code like
os.environ["KEY"]"""
"""By what a key is known, in words."""

_SCHEME = re.compile(r"(?:bearer|basic|token|key|apikey) +", re.I)
_PREFIX = r"\b(?:sk|pk|rk|hs|gsk|xai|csk|fw|tgp|pplx|nvapi|hf|r8|vck|gh[opsur]|github_pat|glpat|bedrock-api-key)[-_]"
_IS = r"[\"']?\s*[:=]\s*[\"']?"
_WORD_FOR_KEY = r"(?:api|access|auth|subscription|secret)[-_ ]?(?:key|token)(?: provided)?|client[-_ ]secret|password"
_NAMED = rf"(?:{_WORD_FOR_KEY}){_IS}"
_CAPITALS = rf"\b[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASSWORD){_IS}"
_USER = r"://[^\s/@:\"']*:"
_SIGN = r"[\w.~+/=*:-]"
# Answers about keys are full of `api_key=os.environ["KEY"]`, `f"Bearer {key}"` and "Bearer token": these stay.
_VALUE = rf"(?={_SIGN}*\d|[A-Za-z]{{16}})(?=({_SIGN}{{4,}}+)(?![(\[{{<$]))"
_KEYS: Final = (  # The first group is the key: looked ahead to where another may begin in it (`Bearer Basic KEY`).
    # Before each, words in small letters, of which a text must have one before the pattern is worth its time.
    (("bearer",), re.compile(rf"\bBearer\s+{_VALUE}", re.I)),
    (("basic",), re.compile(r"\bBasic\s+(?=[A-Za-z]*[\d+/=])(?=([\w+/=]{12,}))")),
    (  # a digit, or a star for what is left out: pk_user_account is a column, hf_hub_download a function
        ("",),
        re.compile(
            rf"({_PREFIX}(?=[\w.-]*[\d*])[\w*.-]{{12,}}[\w+/=.-]*"
            r"|\b(?:AIza|eyJ)[\w.-]{16,}|\b(?:AQ|ya29)\.[\w.-]{20,}|\bABSK[\w+/=]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
            r"|\b[0-9a-f]{32}\.[A-Za-z0-9]{16}\b|\bxox[a-z]-[\w-]{10,})"
        ),
    ),
    (("key", "token", "secret", "password"), re.compile(rf"{_NAMED}{_VALUE}", re.I)),
    (("_key", "_token", "_secret", "_password"), re.compile(_CAPITALS + _VALUE)),
    (("://",), re.compile(rf"{_USER}(?=[^\s/@]*\d)(?=([^\s/@\"']+)@)")),
)
_BEGUN = re.compile(  # what stands before the secret part of a key that may go on where the text ends
    rf"(?:\b(?:Bearer|Basic)\s+|{_PREFIX}|\b(?:AIza|eyJ|ABSK|AKIA|ASIA|xox[a-z]-)|\b(?:AQ|ya29)\.|\b[0-9a-f]{{16}}"
    rf"|{_NAMED}|(?-i:{_CAPITALS})|{_USER})"
    r"(?=\S*$)",
    re.I,
)
_WORDS = 5
"""What stands before a key and the key itself are no more words: `api key provided : KEY`."""
_UNMARKED_KEY = re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{24,}\b")


def redact(text: str, key: Hidden = ()) -> str:
    """The text without these keys, and without anything else that looks like one: services echo keys."""
    return _UNMARKED_KEY.sub("…", redact_marked(hide(text, key)))


def hide(text: str, key: Hidden) -> str:
    """The text without these keys."""
    return without(text, values(key))


def without(text: str, hidden: Sequence[str]) -> str:
    """The same by the keys' `values`."""
    for value in hidden:
        text = text.replace(value, "…")
    return text


def concealed(data: bytes, key: Hidden) -> bytes:
    """What a service said, without these keys, before anything is made of it."""
    for value in values(key):
        data = data.replace(value.encode(), "…".encode())
    return data


def values(key: Hidden) -> list[str]:
    """The keys as texts, also without the word of their scheme; longer ones first, in which shorter ones may be."""
    given = [key] if isinstance(key, str) else [each.reveal() for each in key]
    parts = {part for value in given for part in (value, _SCHEME.sub("", value))}
    # Shorter ones are placeholders of local services, and everyday words.
    return sorted((part for part in parts if len(part) >= 6), key=len, reverse=True)


def redact_marked(text: str) -> str:
    """The text without what says that it is a key; long numbers stay, which may be commits or ids that are needed."""
    small = text.lower()
    spans: list[tuple[int, int]] = []
    for words, pattern in _KEYS:
        if any(map(small.__contains__, words)):
            spans += [found.span(1) for found in pattern.finditer(text)]
    if not spans:
        return text
    parts, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            parts += [text[at:start], "…"]
        at = max(at, end)
    return "".join([*parts, text[at:]])


def settled(text: str, hidden: Sequence[str] = ()) -> int:
    """How much of a text that is still coming can be redacted for good: no key begins before and ends behind it.

    hidden: the `values` of known keys.
    """
    starts = [0, *[found.end() for found in _SPACE.finditer(text)]]
    number = len(starts) - _WORDS - (starts[-1] == len(text))  # a last word may not have begun
    if number <= 0:
        return 0
    first = starts[max(0, number - _WORDS)]
    spans = _spans(text, first)
    for value in hidden:
        if value in text:
            spans += [found.span() for found in re.compile(re.escape(value)).finditer(text, first)]
    while number > 0 and any(start < starts[number] < end for start, end in spans):
        number -= 1
    return starts[number]


def withheld(text: str, hidden: Sequence[str] = ()) -> int:
    """Where at the text's end a key may have begun whose secret part must not be shown; its length if there is none."""
    begun = _BEGUN.search(text)
    at = len(text) if begun is None else begun.end()
    for value in hidden:
        if value[: _OPEN + 1] in text:
            known = next((size for size in range(len(value) - 1, _OPEN, -1) if text.endswith(value[:size])), 0)
            at = min(at, len(text) - known + _OPEN if known else at)
    return at


def _spans(text: str, start: int = 0) -> list[tuple[int, int]]:
    """Where what says that it is a key begins, with what says so, and ends."""
    small = text.lower()
    found: list[tuple[int, int]] = []
    for words, pattern in _KEYS:
        if any(map(small.__contains__, words)):
            found += [(each.start(), each.end(1)) for each in pattern.finditer(text, start)]
    return found


_SPACE = re.compile(r"\s+")
_OPEN = 3
"""Characters of a known key that are no secret."""
