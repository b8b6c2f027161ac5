"""HTTP error bodies in, errors of the tree out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb import errors
from holystream_nb.wire.complaints import redact, refuses_include_usage, service_error

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def error_of(
    status: int, body: Any = b"", headers: dict[str, str] | None = None, *, model: str = "gpt-x", key: str = ""
) -> errors.ServiceError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return service_error(status, headers or {}, raw, model=model, now=NOW, key=key)


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, errors.BadRequest, "change what it names"),
        (413, errors.BadRequest, "shorten the prompt"),
        (422, errors.BadRequest, "change what it names"),
        (401, errors.KeyRefused, "refused the key (401): check that it is right"),
        (402, errors.ServiceError, "check the account's credit"),
        (403, errors.KeyRefused, 'may use the model "gpt-x"'),
        (404, errors.UnknownModel, 'does not know the model "gpt-x" (404): check the model\'s name and the base URL'),
        (429, errors.RateLimited, "wait a little and try again"),
        (500, errors.ServiceUnavailable, "try again"),
        (503, errors.ServiceUnavailable, "try again"),
        (529, errors.ServiceUnavailable, "try again"),
        (307, errors.ServiceError, "check the request and the base URL"),
        (418, errors.ServiceError, "check the request and the base URL"),
    ],
)
def test_the_status_chooses_class_and_advice(status: int, kind: type[errors.ServiceError], advice: str) -> None:
    """Each status has its class, and a message of one sentence that says what to do, also without a body."""
    error = error_of(status)
    assert type(error) is kind
    assert error.status == status
    assert f"({status})" in str(error)
    assert advice in str(error)
    assert str(error).endswith(".")
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("body", "words", "code", "type"),
    [
        (
            {"error": {"message": "Bad temperature", "type": "invalid", "code": "t1"}},
            "Bad temperature",
            "t1",
            "invalid",
        ),
        ({"error": {"message": "Bad", "type": None, "code": 1500}}, "Bad", "1500", None),
        ({"error": "Bad"}, "Bad", None, None),
        ({"error": {"error": {"message": "Bad"}}}, "Bad", None, None),
        ({"error": True, "message": "Bad"}, "Bad", None, None),
        ({"error": {"code": "x"}, "message": "Bad"}, "Bad", None, None),
        ({"message": "Bad", "code": "x"}, "Bad", "x", None),
        ({"message": {"detail": "Bad"}}, "Bad", None, None),
        ({"object": "error", "message": "Bad", "type": "BadRequestError"}, "Bad", None, "BadRequestError"),
        ({"detail": "Bad"}, "Bad", None, None),
        ({"detail": [{"loc": ["body", "n"], "msg": "too big", "type": "int"}]}, "body.n: too big", None, "int"),
        ({"detail": [{"msg": "one"}, {"msg": "two"}]}, "one; two", None, None),
        ({"errors": [{"message": "Bad"}]}, "Bad", None, None),
        ([{"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT"}}], "Bad", "400", None),
        ("Bad", "Bad", None, None),
        (b"Bad\n gateway ", "Bad gateway", None, None),
        (b"\xef\xbb\xbf" + b'{"error": "Bad"}', "Bad", None, None),
        ({"reasons": ["x"]}, '{"reasons": ["x"]}', None, None),
    ],
)
def test_the_service_is_quoted_whatever_the_shape(body: Any, words: str, code: str | None, type: str | None) -> None:
    """The message, code and type are found in every shape in use; other bodies are quoted as they are."""
    error = error_of(400, body)
    assert str(error).endswith(f'; it said: "{words}"')
    assert (error.code, error.type) == (code, type)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "The model `gpt-x` does not exist", "code": "model_not_found"}},
        {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}},
        {"error": "unknown model gpt-x"},
    ],
)
def test_a_model_unknown_with_400(body: Any) -> None:
    """Services that answer 400 for a model they do not have get the sentence of 404."""
    error = error_of(400, body)
    assert type(error) is errors.UnknownModel
    assert error.status == 400
    assert '"gpt-x"' in str(error)


HTML = (
    b"<!DOCTYPE html><html><head><style>p{color:red}</style><title>502 Bad\n Gateway</title></head>"
    b"<body><script>alert(1)</script><p>nginx</body></html>"
)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (HTML, "502 Bad Gateway"),
        (b"<html><script>alert(1)</script><h1>Oh</h1><p>no</html>", "Oh no"),
        (b"<p>cut <img src=x onerror=alert(1) ", "cut img src=x onerror=alert(1)"),
        ({"error": "<b>Bad</b> <scr<i>ipt>x"}, "Bad scr ipt>x"),
        ({"error": "1 < 2 and 3 > 2"}, "1 < 2 and 3 > 2"),
        (b"\x1b[31mred\x00\x07 text", "[31mred text"),
    ],
)
def test_a_page_is_quoted_without_its_markup(body: Any, words: str) -> None:
    """A page's title, or its text; never a tag, a script or a control character."""
    assert f'it said: "{words}"' in str(error_of(502, body))


def test_the_quotation_is_bounded() -> None:
    """At most 300 characters of the body are quoted."""
    quoted = str(error_of(500, {"error": "x y" * 5000})).split('it said: "')[1][:-1]
    assert len(quoted) <= 300
    assert quoted.endswith("…")


KEYS = [
    "sk-proj-AbCd_1234567890",
    "sk-ab***********wxyz",
    "hs_live_4f9a8b7c6d5e",
    "gsk_1234567890abcdef",
    "xai-0123456789abcdef",
    "AIzaSyA-1234567890abcdefghijk",
    "0123456789abcdef0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def_ghi",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "frame",
    [
        "Incorrect API key provided: {}. See the site.",
        "Bearer {}",
        '{{"api_key": "{}"}}',
        "({})",
        "key={}",
        "<b>{}</b>",
    ],
)
def test_what_looks_like_a_key_is_never_quoted(key: str, frame: str) -> None:
    """Keys that services echo are taken out of the message, the code and the type."""
    echoed = frame.format(key)
    error = error_of(401, {"error": {"message": echoed, "code": echoed, "type": echoed}})
    for shown in (str(error), error.code, error.type):
        assert shown is not None
        assert key not in shown
        assert key[8:20] not in shown


def test_the_key_itself_is_never_quoted() -> None:
    """A key of no known form is taken out too, where it is given."""
    error = error_of(
        401, {"error": {"message": "No such key: correct horse", "code": "correct horse"}}, key="correct horse"
    )
    assert "correct horse" not in f"{error} {error.code}"
    assert 'it said: "No such key: …"' in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 4096 is over 2048 for claude-sonnet-4-5-20250929",
        "Invalid API key: check your account",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo is busy",
        "risk-assessment-model at https://api.example.com/v1/chat/completions",
        "request 550e8400-e29b-41d4-a716-446655440000",
        "hf_hub_download of pk_user_account_id failed on fw_update_2",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    """Model names, numbers, addresses and request ids are not taken for keys."""
    assert redact(text) == text


def test_a_placeholder_key_does_not_spoil_a_message() -> None:
    """A short key of a local service is an everyday word."""
    assert redact("the model none", "none") == "the model none"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12", 12.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (" 7 ", 7.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50", 30.0),
        ("Tue, 14 Nov 2023 23:13:30 +0100", 10.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("٣", None),
        ("", None),
        ("9" * 400, None),
        ("Tue, 99 Nov 2023 22:13:50 GMT", None),
        ("Tue, 14 Nov 99999999999999999999 22:13:50 GMT", None),
    ],
)
@pytest.mark.parametrize("name", ["Retry-After", "retry-after"])
def test_retry_after(name: str, value: str, seconds: float | None) -> None:
    """Seconds and HTTP dates are understood, a past date is 0, anything else is no answer."""
    assert error_of(503, headers={name: value}).retry_after == seconds


def test_the_wait_is_said() -> None:
    """A message about too many requests says how long to wait, in whole seconds."""
    assert "wait 3 s and try again" in str(error_of(429, headers={"Retry-After": "2.2"}))
    assert error_of(429).retry_after is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error":{"message":"Unknown parameter: stream_options","param":"stream_options"}}', True),
        (422, b'{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}', True),
        (400, b"include_usage is not supported", True),
        (400, b'{"error":"temperature"}', False),
        (401, b"stream_options", False),
        (500, b"stream_options", False),
        (400, b"", False),
    ],
)
def test_a_refusal_of_include_usage(status: int, body: bytes, expected: bool) -> None:
    """Only a 400 or 422 that names the option is worth a second request without it."""
    assert refuses_include_usage(status, body) is expected


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["429", "<b>"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["error", "errors", "message", "detail", "msg", "loc", "code", "type", "status"]), inner
        ),
    ),
    max_leaves=10,
)


@given(st.integers(300, 599), st.one_of(st.binary(max_size=50), JSON.map(lambda tree: json.dumps(tree).encode())))
@settings(max_examples=300, deadline=None)
def test_any_body_gives_an_error(status: int, body: bytes) -> None:
    """Whatever the body, there is an error with a bounded, printable message of one line."""
    error = error_of(status, body)
    assert error.status == status
    assert str(error).isprintable()
    assert len(str(error)) < 600
    assert error.code is None or isinstance(error.code, str)


@pytest.mark.parametrize(
    "piece", [b"<script ", b"<", b"<a ", b"sk-", b"api_key: ", b"model ", b"[", b'{"error":', b"a1"]
)
def test_a_hostile_body_takes_no_time(piece: bytes) -> None:
    """Repeated openings of anything are dealt with within a second, and give an error."""
    started = time.perf_counter()
    assert type(error_of(500, piece * 60_000)) is errors.ServiceUnavailable
    assert time.perf_counter() - started < 1.0
