"""HTTP error bodies in, errors of the tree out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from holystream_nb import errors
from holystream_nb.wire.complaints import Complaint, complaint_in, service_error, stream_error
from holystream_nb.wire.redaction import redact
from holystream_nb.wire.refusals import names_tokens_field, refuses_include_usage, refuses_limit, refuses_streaming

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
        (402, errors.ServiceError, "has no credit or quota left for this account (402): check the account's credit"),
        (403, errors.KeyRefused, 'may use the model "gpt-x"'),
        (404, errors.UnknownModel, 'does not know the model "gpt-x" (404): check the model\'s name and the base URL'),
        (429, errors.RateLimited, "wait a little and try again"),
        (500, errors.ServiceUnavailable, "try again"),
        (503, errors.ServiceUnavailable, "try again"),
        (408, errors.ServiceUnavailable, "gave up waiting (408): wait a little and try again"),
        (409, errors.ServiceUnavailable, "was held up by another request (409): wait a little and try again"),
        (529, errors.ServiceUnavailable, "is overloaded (529): wait a little and try again"),
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
        ({"type": "error", "code": "c", "message": "Bad", "param": None}, "Bad", "c", "error"),
        ({"type": "error", "error": {"type": "t", "code": "c", "message": "Bad"}}, "Bad", "c", "t"),
        ({"detail": '{"error": {"message": "Bad", "type": "t", "code": "c"}}'}, "Bad", "c", "t"),
        (
            {"error": {"message": "Provider error", "code": 400, "metadata": {"raw": '{"error":"Bad"}'}}},
            "Bad",
            "400",
            None,
        ),
        ({"error": {"message": "Provider error", "metadata": {"raw": "Bad"}}}, "Bad", None, None),
        ({"error": "{not JSON"}, "{not JSON", None, None),
    ],
)
def test_the_service_is_quoted_whatever_the_shape(body: Any, words: str, code: str | None, type: str | None) -> None:
    """The message, code and type are found in every shape in use; other bodies are quoted as they are."""
    error = error_of(400, body)
    assert str(error).endswith(f'; it said: "{words}"')
    assert (error.code, error.type) == (code, type)


@pytest.mark.parametrize("model", ["my{model}", "{0}", "{", "}", "{{}}", "%s %(a)d", "a{b!r:>{c}}", "$model"])
@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 500, None])
def test_no_text_of_others_is_a_template(model: str, status: int | None) -> None:
    """What a user calls a model, and what a service says, is repeated as it is, braces and all."""
    body = {"error": {"message": f"No {model} and prompt is too long", "code": model, "type": model}}
    error = error_of(status, body, model=model) if status else stream_error(Complaint(model, model), model, "")
    assert model in str(error)
    assert error.code == model
    assert model in str(error_of(404, model=model))
    assert model in str(error_of(400, {"error": {"message": "prompt is too long"}}, model=model))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        # llama.cpp's server, today's and an older one's words
        (
            {
                "error": {
                    "code": 400,
                    "message": "request (5005 tokens) exceeds the available context size (512 tokens), increase it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 5005,
                    "n_ctx": 512,
                }
            },
            "it comes to 5,005 tokens and 512 fit; ",
        ),
        (
            {
                "error": {
                    "message": "It does not fit.",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 9,
                    "n_ctx": 8,
                }
            },
            "it comes to 9 tokens and 8 fit; ",
        ),
        (
            {
                "error": {
                    "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
                    "(4000 in the messages, 1000 in the completion). Please reduce the length of the messages.",
                    "code": "context_length_exceeded",
                }
            },
            "it comes to 5,000 tokens and 4,096 fit; ",
        ),
        ({"error": {"message": "Your input exceeds the context window of this model."}}, ""),
        ("prompt is too long: 213462 tokens > 200000 maximum", "it comes to 213,462 tokens and 200,000 fit; "),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", "200,000 tokens fit; "),
        (
            [
                {
                    "error": {
                        "code": 400,
                        "message": "The input token count (1196265) exceeds the maximum number of tokens allowed "
                        "(1048575).",
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
            "it comes to 1,196,265 tokens and 1,048,575 fit; ",
        ),
        (
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "it comes to 537,812 tokens and 131,072 fit; ",
        ),
        (
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "it comes to 40,000 tokens and 32,768 fit; ",
        ),
        ("prompt token count of 135000 exceeds the limit of 128000", "it comes to 135,000 tokens and 128,000 fit; "),
        (
            "The prompt is too long: 140000, model maximum context length: 131071",
            "it comes to 140,000 tokens and 131,071 fit; ",
        ),
        ("Please reduce the length of the messages or completion.", ""),
        ("Input is too long for requested model.", ""),
        ("invalid params, context window exceeds limit (2013)", ""),
        ("Invalid request: Your request exceeded model token limit: 131072", "131,072 tokens fit; "),
        ("Range of input length should be [1, 129024]", ""),
        ("Prompt exceeds max length", ""),
        ("Trying to keep the first 5000 tokens, greater than the context length", ""),
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens",
            "it comes to 5,000 tokens and 4,097 fit; ",
        ),
        ({"error": {"message": "litellm.ContextWindowExceededError", "type": "ContextWindowExceededError"}}, ""),
        (  # LiteLLM before llama.cpp
            "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException "
            "- request (3021 tokens) exceeds the available context size (1024 tokens), try increasing it model=m",
            "it comes to 3,021 tokens and 1,024 fit; ",
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 413])
def test_a_prompt_that_is_too_long(status: int, body: Any, words: str) -> None:
    """Whoever says it, in whatever words: one sentence, with the lengths where the service names them."""
    error = error_of(status, body)
    assert type(error) is errors.PromptTooLong
    assert str(error).startswith(
        f'The service refused the prompt as too long for the model "gpt-x" ({status}): {words}'
        "shorten it or the conversation before it, or lower max_tokens; it said:"
    )
    raw = json.dumps(body if isinstance(body, dict) else {"message": str(body)})
    assert type(stream_error(complaint_in(raw), "gpt-x", "")) is errors.PromptTooLong


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens is too large: 5000. This model supports at most 4096 completion tokens."),
        (
            400,
            "'max_tokens' or 'max_completion_tokens' is too large: 9. This model's maximum context length is 8 tokens",
        ),
        (400, "messages: at least one message is required"),
        (429, "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000."),
        (400, "temperature exceeds the maximum of 2"),
        (500, "prompt is too long"),
    ],
)
def test_what_is_no_prompt_that_is_too_long(status: int, message: str) -> None:
    """A limit on the answer, on the rate or on a field is another matter."""
    assert type(error_of(status, {"error": {"message": message}})) is not errors.PromptTooLong


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (
            429,
            {
                "message": "You exceeded your current quota, please check your plan and billing details.",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            },
            errors.RateLimited,
        ),
        (
            429,
            {"message": "Billing hard limit has been reached", "code": "billing_hard_limit_reached"},
            errors.RateLimited,
        ),
        (429, {"message": "x", "type": "exceeded_current_quota_error"}, errors.RateLimited),
        (429, {"message": "You have reached your specified API usage limits."}, errors.RateLimited),
        (400, {"message": "You have reached your specified API usage limits."}, errors.ServiceError),
        (
            429,
            {"message": "Rate limit reached on tokens per day (TPD): Limit 100000. Please try again in 7m12.5s."},
            errors.RateLimited,
        ),
        (429, {"message": "Rate limit exceeded: free-models-per-day. Add 10 credits"}, errors.RateLimited),
        (429, {"message": "You have reached your monthly spending limit"}, errors.RateLimited),
        (429, {"message": "账户余额不足", "code": "1113"}, errors.RateLimited),
        (
            400,
            {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."},
            errors.ServiceError,
        ),
        (402, {"message": "Insufficient Balance"}, errors.ServiceError),
        (403, {"message": "Your team has used all available credits"}, errors.ServiceError),
        (None, {"message": "Pay", "type": "billing_error"}, errors.ServiceError),
        (None, {"message": "No credit", "type": "insufficient_quota"}, errors.RateLimited),
    ],
)
def test_what_is_used_up_is_hopeless(status: int | None, error: Any, kind: type[errors.ServiceError]) -> None:
    """An account without credit, or past a day's quota, is not asked again, and the sentence is of the account."""
    body = {"error": error}
    found = error_of(status, body) if status else stream_error(complaint_in(json.dumps(body)), "gpt-x", "")
    assert type(found) is kind
    assert found.should_retry is False
    assert "no credit or quota left" in str(found)
    assert "check the account's credit and limits, as asking again does not help" in str(found)


@pytest.mark.parametrize(
    ("message", "wait"),
    [
        ("Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000. Please try again in 4.2s.", 4.2),
        ("Rate limit reached for gpt-4o on requests per min (RPM). Please try again in 250ms.", 0.25),
        ("You exceeded your current quota, please check your plan and billing details. Please retry in 6.9s.", 6.9),
        ("Please retry after 20 seconds.", 20.0),
        ("Please try again in 1m20s", 80.0),
        ("Please try again in 1h0m1s", 3601.0),
        ("Too many requests. Add a payment method at https://platform.openai.com/account/billing.", None),
        ("Try again in a while, retry in 5 sheep", None),
    ],
)
def test_a_limit_that_passes_is_worth_a_wait(message: str, wait: float | None) -> None:
    """A minute's limit is asked again, after the wait that its words name where no header does."""
    error = error_of(429, {"error": {"message": message, "type": "requests"}})
    assert error.should_retry is None
    assert error.retry_after == pytest.approx(wait) if wait is not None else error.retry_after is None
    assert "takes no more requests for now" in str(error)
    assert error_of(429, {"error": message}, {"retry-after": "3"}).retry_after == 3


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (408, {}, True),
        (409, {}, True),
        (429, {}, None),
        (503, {}, None),
        (400, {}, None),
        (400, {"X-Should-Retry": "true"}, True),
        (503, {"x-should-retry": "false"}, False),
        (409, {"x-should-retry": "False"}, False),
        (503, {"x-should-retry": "perhaps"}, None),
    ],
)
def test_the_service_says_whether_to_try_again(status: int, headers: dict[str, str], expected: bool | None) -> None:
    """`x-should-retry` outranks what the status means; a timeout and a conflict pass."""
    assert error_of(status, headers=headers).should_retry is expected


def test_the_services_word_outranks_its_quota() -> None:
    """Who says that a used-up quota is worth another try is believed."""
    body = {"error": {"message": "No credit", "code": "insufficient_quota"}}
    assert error_of(429, body, {"x-should-retry": "true"}).should_retry is True


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"Retry-After-Ms": "1500.5", "Retry-After": "9"}, 1.5005),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1"}, None),
        ({"retry-after-ms": "nan"}, None),
    ],
)
def test_milliseconds_come_before_seconds(headers: dict[str, str], seconds: float | None) -> None:
    """`retry-after-ms` is more exact than `retry-after`; a value that is no number counts for nothing."""
    assert error_of(429, headers=headers).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "variable", "words"),
    [
        (401, "MY_API_KEY", "wants a key (401), and none was sent: set MY_API_KEY, or name the key's variable"),
        (401, None, "wants a key (401), and none was sent: pass api_key, or name the key's variable"),
        (403, None, "denied access (403), and none was sent: pass api_key, or name the key's variable"),
    ],
)
def test_a_refusal_where_no_key_was_sent_says_so(status: int, variable: str | None, words: str) -> None:
    """The sentence names the variable and the file, and does not talk of a key that there was not."""
    error = service_error(status, {}, b"", model="m", now=NOW, sent_key=False, variable=variable)
    assert type(error) is errors.KeyRefused
    assert str(error) == (
        f"The service {words} as key_variable (in a cell --key-variable NAME, for good in providers.toml)."
    )
    assert "none was sent" not in str(service_error(status, {}, b"", model="m", now=NOW, variable=variable))
    assert "key" not in str(service_error(500, {}, b"", model="m", now=NOW, sent_key=False))


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
    "sk-ant-api03-AbCd-1234567890_xyz-AA",
    "sk-or-v1-0123456789abcdef0123456789abcdef",
    "sk_1234567890abcdefgh",
    "hf_AbCdEfGhIjKlMnOpQrStUvWx1",
    "nvapi-1234567890_abcdefghijkl",
    "pplx-1234567890abcdefghij",
    "csk-1234567890abcdefghij",
    "tgp_v1_1234567890abcdefghij",
    "r8_1234567890abcdefghijklmn",
    "ghp_1234567890abcdefghijklmnop",
    "github_pat_11ABCDEFG0_1234567890abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "ABSKQmVkcm9ja0FQSUtleS1hYmNkLWF0LTEyMw==",
    "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29tLz9BY3",
    "AQ.Ab8RN6I1234567890abcdefghij-_k",
    "ya29.a0AfH6SMBx-1234567890_abcdefg",
    "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp",
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
        "Basic subscriptions may not use this model; the auth token: missing",
        "ASIA is a region, AQ.1 is a step, r8_g8_b8 is a format",
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


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            {
                "error": {
                    "message": "Your organization must be verified to stream this model. Please go to: https://x",
                    "type": "invalid_request_error",
                    "param": "stream",
                    "code": "unsupported_value",
                }
            },
            True,
        ),
        (400, {"error": {"message": "Unsupported value: 'stream' does not support true with this model."}}, True),
        (403, {"error": "Your organization must be verified to stream this model."}, True),
        (400, {"message": "The model is unsupported for streaming."}, True),
        (400, {"message": "This model doesn't support streaming"}, True),
        (400, {"detail": "Streaming is not supported yet"}, True),
        (422, {"detail": [{"loc": ["body", "stream"], "msg": "stream is not allowed"}]}, True),
        (501, "stream not supported", True),
        (400, {"error": {"message": "Unknown parameter: stream_options", "param": "stream_options"}}, False),
        (400, {"error": {"message": "stream_options is not supported"}}, False),
        (400, {"error": {"message": "Stream options are not supported"}}, False),
        (400, {"error": {"message": "This model only supports stream mode, please enable stream"}}, False),
        (400, {"error": {"message": "temperature is not supported"}}, False),
        (401, {"error": {"message": "Your organization must be verified to stream", "param": "stream"}}, False),
        (429, {"error": {"message": "too many streams are not supported"}}, False),
        (400, "", False),
    ],
)
def test_a_refusal_to_stream(status: int, body: Any, expected: bool) -> None:
    """Only a refusal that is of streaming itself is worth a request without it."""
    assert refuses_streaming(status, json.dumps(body).encode()) is expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            {
                "error": {
                    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
                    "Use 'max_completion_tokens' instead.",
                    "param": "max_tokens",
                    "code": "unsupported_parameter",
                }
            },
            "max_completion_tokens",
        ),
        (400, {"error": {"message": "Unrecognized request argument supplied: max_completion_tokens"}}, "max_tokens"),
        (
            422,
            {"detail": [{"loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]},
            "max_tokens",
        ),
        (400, {"error": "property 'max_completion_tokens' is unsupported, did you mean 'max_tokens'?"}, "max_tokens"),
        (
            400,
            {"error": {"message": "This is not so.", "param": "max_tokens", "code": "unsupported_parameter"}},
            "max_completion_tokens",
        ),
        (400, {"error": "max_tokens is deprecated in favor of `max_completion_tokens`"}, "max_completion_tokens"),
        (400, {"error": "max_tokens is too large: 5000. This model supports at most 4096"}, None),
        (400, {"error": "'max_tokens' or 'max_completion_tokens' is too large: 9"}, None),
        (400, {"error": "max_tokens: Field required"}, None),
        (400, {"error": "max_output_tokens is not supported"}, None),
        (401, {"error": "Unsupported parameter: 'max_tokens'"}, None),
        (400, "", None),
    ],
)
def test_a_refusal_that_names_the_right_tokens_field(status: int, body: Any, expected: str | None) -> None:
    """It says what to call the limit instead, by name or because it refuses the other one."""
    assert names_tokens_field(status, json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("said", "whose"),
    [
        ("max_tokens is too large: 99999. This model supports at most 16384 completion tokens", "model"),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", "model"),
        ("`max_tokens` must be less than or equal to `8192`, less than the `context_window` for this model", "model"),
        ("max_tokens: 99999 > 64,000, which is the maximum allowed number of output tokens", "model"),
        ("a maxOutputTokens value of 99999 but the supported range is from 1 to 65537 (exclusive)", "model"),
        ("max_tokens > 4096 requires stream=true", "model"),
        ("This model's maximum context length is 4097 tokens. However, you requested 100019 tokens", "prompt"),
        ("'max_tokens' is too large: 99999. This model's maximum context length is 32768 tokens", "prompt"),
        ("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 20 `inputs` tokens", "prompt"),
        ("Unsupported parameter: 'max_tokens' is not supported with gpt-x-2025", None),
        ("max_tokens must be at least 16, not 99999", None),
        ("temperature must be below 2000", None),
        ("", None),
    ],
)
def test_a_refusal_of_a_limit_says_whose_room_it_is_above(said: str, whose: str | None) -> None:
    """The model's, which is the same the next time, or this prompt's; it must name less than was asked for."""
    assert refuses_limit(400, json.dumps({"error": {"message": said}}).encode(), 99_999) == whose
    assert refuses_limit(500, json.dumps({"error": {"message": said}}).encode(), 99_999) is None


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


@pytest.mark.slow
@given(st.integers(300, 599), st.one_of(st.binary(max_size=50), JSON.map(lambda tree: json.dumps(tree).encode())))
@settings(max_examples=examples(300), deadline=None)
def test_any_body_gives_an_error(status: int, body: bytes) -> None:
    """Whatever the body, there is an error with a bounded, printable message of one line."""
    error = error_of(status, body)
    assert error.status == status
    assert str(error).isprintable()
    assert len(str(error)) < 600
    assert error.code is None or isinstance(error.code, str)
    assert refuses_streaming(status, body) in (True, False)
    assert names_tokens_field(status, body) is None
    assert refuses_limit(status, body, 1_000) in (None, "model", "prompt")


@pytest.mark.parametrize(
    "piece",
    [
        b"<script ",
        b"<",
        b"<a ",
        b"sk-",
        b"api_key: ",
        b"model ",
        b"[",
        b'{"error":',
        b"a1",
        b"exceeds ",
        b"stream ",
        b"input ",
        b"limit 1",
        b"retry in 1 s",
        b'"{',
        b"AQ.",
        b"quota ",
    ],
)
def test_a_hostile_body_takes_no_time(piece: bytes) -> None:
    """Repeated openings of anything are dealt with within a second of computing, and give an error."""
    started = time.process_time()
    assert type(error_of(500, piece * 60_000)) is errors.ServiceUnavailable
    assert time.process_time() - started < 1.0
