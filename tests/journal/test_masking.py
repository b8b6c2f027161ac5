"""Keys and pictures never reach the disk, however a text is cut into pieces."""

from __future__ import annotations

import base64
import hashlib
from itertools import pairwise

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb.journal.masking import Masker, hashed, masked, stored
from holystream_nb.providers.secret import Key, known
from holystream_nb.wire.redaction import values

HEX = "0123456789abcdef"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
TOKEN = st.text(LETTERS + "0123456789", min_size=24, max_size=60).filter(lambda text: any(map(str.isdigit, text)))
MARKED = st.one_of(
    st.tuples(st.sampled_from(["sk-", "sk-ant-api03-", "hs_live_", "gsk_", "xai-", "hf_", "ghp_", "glpat-"]), TOKEN),
    st.tuples(st.sampled_from(["AIza", "eyJ", "AQ.", "ya29.", "ABSK"]), TOKEN),
    st.tuples(st.sampled_from(["Bearer ", "bearer \n ", "Basic dXNlcjpw", "Bearer   "]), TOKEN),
    st.tuples(
        st.sampled_from(
            [
                "password: ",
                "AZURE_OPENAI_KEY=",
                "MY_TOKEN = '",
                "xoxb-",
                "api_key=",
                '"api-key": "',
                "Api key provided : ",
                "ACCESS TOKEN=",
                "secret key: '",
                "auth_token:\n\n",
            ]
        ),
        TOKEN,
    ),
    st.tuples(st.sampled_from(["AKIA", "ASIA"]), st.text("ABCDEFGHJ0123456789", min_size=16, max_size=16)),
)
PROSE = st.lists(
    st.sampled_from([*"abc sk-hs_key:=\"'\n\t,.;&{}é中文，0123", "Bearer ", "api key ", "token: ", "AI", "ey", "sk-"]),
    max_size=30,
).map("".join)
OWN = Key("Zq9 own:key/42 with spaces")
HIDDEN = values([OWN])


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text, and the keys in it."""
    parts, keys = [draw(PROSE)], []
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            mark, key = draw(MARKED)
        else:
            mark, key = "", OWN.reveal()
        parts += [
            draw(st.sampled_from([" ", "\n", "(", '"'])),
            mark,
            key,
            draw(st.sampled_from([" ", "\n", '" ', ", "])),
        ]
        parts.append(draw(PROSE))
        keys.append(key)
    return "".join(parts), keys


def cut(text: str, at: list[int]) -> list[str]:
    places = sorted({0, len(text), *(each % (len(text) + 1) for each in at)})
    return [text[one:two] for one, two in pairwise(places)]


@pytest.mark.slow
@settings(max_examples=examples(300), deadline=None)
@given(texts(), st.lists(st.integers(0, 10_000), max_size=40))
def test_a_key_in_pieces_never_reaches_the_disk(given_text: tuple[str, list[str]], at: list[int]) -> None:
    """Nothing that is written after any piece has more of a key than its mark and a few characters."""
    text, keys = given_text
    masker, written = Masker(), ""
    for piece in cut(text, at):
        written += masker.feed(piece, HIDDEN)
        seen = written + masker.shown(HIDDEN)
        for key in keys:
            assert key[:6] not in seen, (piece, seen)
    written += masker.finish(HIDDEN)
    assert not [key for key in keys if key[:6] in written]


@pytest.mark.slow
@settings(max_examples=examples(300), deadline=None)
@given(texts(), st.lists(st.integers(0, 10_000), max_size=40))
def test_pieces_come_to_the_same_as_the_whole(given_text: tuple[str, list[str]], at: list[int]) -> None:
    """How a text was cut makes no difference to what is written of it."""
    text, _ = given_text
    masker = Masker()
    written = "".join(masker.feed(piece, HIDDEN) for piece in cut(text, at)) + masker.finish(HIDDEN)
    assert written == masked(text, HIDDEN)


@settings(max_examples=examples(200), deadline=None)
@given(st.text(st.sampled_from([*"abcdefgh \n中文，é.,"]), max_size=400), st.lists(st.integers(0, 400), max_size=40))
def test_of_plain_prose_nothing_is_held_back(text: str, at: list[int]) -> None:
    """What may be shown after each piece is all that has come."""
    masker, written, given_so_far = Masker(), "", ""
    for piece in cut(text, at):
        given_so_far += piece
        written += masker.feed(piece, [])
        assert written + masker.shown([]) == given_so_far


@pytest.mark.parametrize(
    "text", ["one line of a megabyte " * 50_000, "中文没有空格" * 50_000, "a" * 300_000, "word\n" * 50_000]
)
def test_long_texts_are_masked_as_they_come(text: str) -> None:
    """A text without a space, or of a megabyte, is written as it is, and never held back as a whole."""
    masker, written = Masker(), ""
    for start in range(0, len(text), 5_000):
        written += masker.feed(text[start : start + 5_000], [])
        assert start + 5_000 - len(written) < 60_000
    assert written + masker.finish([]) == text


PIXELS = bytes(range(256)) * 8
CODE = base64.b64encode(PIXELS).decode()
ADDRESS = f"data:image/png;base64,{CODE}"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": CODE, "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": ADDRESS}}]},
        {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": CODE}}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": ADDRESS}]},
        {"type": "image_generation_call", "result": CODE},
        {"role": "tool", "content": [{"type": "image", "data": PIXELS}]},
        {"role": "tool", "content": f"a picture ![it]({ADDRESS}) in the text"},
    ],
)
def test_pictures_of_all_formats_are_stored_as_hashes(message: dict[str, object]) -> None:
    """Of a data: address, a base64 part and bytes there is the sha256 and the size; as they were where asked for."""
    kept = repr(stored(message, [], images=False))
    assert hashed(PIXELS) == f"sha256:{hashlib.sha256(PIXELS).hexdigest()}, 2,048 bytes"
    assert hashed(PIXELS) in kept
    assert CODE[:40] not in kept
    assert CODE in repr(stored(message, [], images=True))


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=20))
def test_a_picture_in_pieces_is_a_hash_too(at: list[int]) -> None:
    """Nothing of it is written while it comes."""
    text = f"here: ![it]({ADDRESS}) and on"
    masker, written = Masker(), ""
    for piece in cut(text, at):
        written += masker.feed(piece, [])
        assert CODE[:8] not in written + masker.shown([])
    assert written + masker.finish([]) == f"here: ![it]({hashed(PIXELS)}) and on"


def test_fields_that_hold_credentials_are_masked_whatever_is_in_them() -> None:
    """By their names, in parameters and messages; a number of tokens is none."""
    given_value = {
        "Authorization": "abc",
        "extra_headers": {"x-api-key": "short", "X-Auth": "12"},
        "tools": [{"type": "mcp", "authorization": "abc", "headers": {"Cookie": "s=1"}}],
        "client_secret": "abc",
        "hf_token": "abc",
        "password": "hunter2",
        "max_tokens": 5,
        "text": "stays",
    }
    assert stored(given_value, [], images=False) == {
        "Authorization": "…",
        "extra_headers": {"x-api-key": "…", "X-Auth": "…"},
        "tools": [{"type": "mcp", "authorization": "…", "headers": {"Cookie": "…"}}],
        "client_secret": "…",
        "hf_token": "…",
        "password": "…",
        "max_tokens": 5,
        "text": "stays",
    }


def test_the_keys_of_this_process_are_known_whatever_their_shape() -> None:
    """Everything that was ever a Key; everyday words that are used for one are not."""
    key, word, date = Key("correct-horse-7"), Key("ollama"), Key("2023-06-01")
    hidden = values(known())
    assert "correct-horse-7" in hidden
    assert not {word.reveal(), date.reveal()} & {*hidden}
    assert masked(f"it is {key.reveal()}!", hidden) == "it is …!"


@pytest.mark.parametrize(
    "code",
    [
        'OpenAI(api_key=os.environ["OPENAI_API_KEY"])',
        'api_key = os.getenv("OPENAI_API_KEY2")',
        "Client(api_key=settings.openai_api_key)",
        'headers={"Authorization": f"Bearer {token}"}',
        'curl -H "Authorization: Bearer $OPENAI_API_KEY"',
        "Authorization: Bearer <your-token-1>",
        'access_token = response.json()["access_token"]',
        "secret_key=secrets.token_hex(32)",
        "password = hash_password2(text)",
        "A Bearer authentication is one with a Bearer token.",
        "http://localhost:8888/lab?a=b@c postgresql://user:password@localhost/db",
    ],
)
def test_code_that_names_a_key_stays_as_it_is(code: str) -> None:
    """An answer about keys is the answer that came, also after a reload."""
    assert masked(code, []) == code


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgres://u:pa55word@db/x", "postgres://u:…@db/x"),
        ("base_url=https://me:9x7y@host/v1", "base_url=https://me:…@host/v1"),
        ("xoxb-123456789012-abcdefgh", "…"),
        ("AZURE_OPENAI_KEY=1234567890abcdef", "AZURE_OPENAI_KEY=…"),
        ('password: "hunter2"', 'password: "…"'),
        ("client_secret=a1b2c3d4", "client_secret=…"),
    ],
)
def test_passwords_and_credentials_of_settings_are_masked(text: str, kept: str) -> None:
    """In addresses, and behind the names they have in settings files."""
    assert masked(text, []) == kept


def test_what_is_no_key_stays() -> None:
    """Commits, ids, names of packages and lone halves of surrogate pairs' neighbours."""
    text = "commit 1ca33005e8c1a94b2f70d6c8f1e2d3c4b5a69788, sk-learn, hf_hub_download, basic key: value"
    assert masked(text, []) == text
    assert masked("a\ud800b", []) == "a\ufffdb"
