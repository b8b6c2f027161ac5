"""What looks like a key is taken out of a text: services echo keys, and so do tools.

Marks of keys: sk- (OpenAI, Anthropic, DeepSeek, OpenRouter, Kimi, Qwen, SiliconFlow, LiteLLM, MiniMax), sk_ (Novita),
hs (HolySheep), gsk_ (Groq), xai-, csk- (Cerebras), fw_ (Fireworks), tgp_ (Together), pplx-, nvapi-, hf_, r8_
(Replicate), vck_ (Vercel), gh?_ and github_pat_ (GitHub), glpat-, bedrock-api-key- and ABSK (Bedrock), AKIA and ASIA
(AWS), AIza, AQ. and ya29. (Google), eyJ (JWT: Nebius, Hyperbolic, MiniMax), 32 hex digits with a dot and 16 more (GLM).

Without a mark: 32 to 84 letters and digits (Azure, Mistral, Cohere, DeepInfra, Databricks), which `redact` takes out
too; and a UUID, as any request's id is one (Ark, SambaNova): it goes only where the key is known or named before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from holystream_nb.providers.secret import Key

Hidden = str | Sequence[Key]
"""Keys that a message must not contain."""

_SCHEME = re.compile(r"(?:bearer|basic|token|key|apikey) +", re.I)
_KEYS = (
    (re.compile(r"\bBearer\s+[^\s\"',;]+", re.I), "Bearer …"),
    (re.compile(r"\bBasic\s+(?=[A-Za-z]*[\d+/=])[\w+/=]{12,}"), "Basic …"),
    (  # a digit, or a star for what is left out: pk_user_account is a column, hf_hub_download a function
        re.compile(
            r"\b(?:sk|pk|rk|hs|gsk|xai|csk|fw|tgp|pplx|nvapi|hf|r8|vck|gh[opsur]|github_pat|glpat|bedrock-api-key)"
            r"[-_](?=[\w.-]*[\d*])[\w*.-]{12,}[\w+/=.-]*"
            r"|\b(?:AIza|eyJ)[\w.-]{16,}|\b(?:AQ|ya29)\.[\w.-]{20,}|\bABSK[\w+/=]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
            r"|\b[0-9a-f]{32}\.[A-Za-z0-9]{16}\b"
        ),
        "…",
    ),
    (
        re.compile(
            r"((?:api|access|auth|subscription|secret)[-_ ]?(?:key|token)(?: provided)?[\"']?\s*[:=]\s*[\"']?)"
            r"(?=\S*\d|\S{16})[^\s\"',;&}]{4,}",
            re.I,
        ),
        r"\1…",
    ),
)
_UNMARKED_KEY = re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{24,}\b")


def redact(text: str, key: Hidden = ()) -> str:
    """The text without these keys, and without anything else that looks like one: services echo keys."""
    return _UNMARKED_KEY.sub("…", redact_marked(hide(text, key)))


def hide(text: str, key: Hidden) -> str:
    """The text without these keys."""
    for value in _values(key):
        text = text.replace(value, "…")
    return text


def concealed(data: bytes, key: Hidden) -> bytes:
    """What a service said, without these keys, before anything is made of it."""
    for value in _values(key):
        data = data.replace(value.encode(), "…".encode())
    return data


def _values(key: Hidden) -> list[str]:
    """The keys as texts, also without the word of their scheme; longer ones first, in which shorter ones may be."""
    given = [key] if isinstance(key, str) else [each.reveal() for each in key]
    parts = {part for value in given for part in (value, _SCHEME.sub("", value))}
    # Shorter ones are placeholders of local services, and everyday words.
    return sorted((part for part in parts if len(part) >= 6), key=len, reverse=True)


def redact_marked(text: str) -> str:
    """The text without what says that it is a key; long numbers stay, which may be commits or ids that are needed."""
    for pattern, replacement in _KEYS:
        text = pattern.sub(replacement, text)
    return text
