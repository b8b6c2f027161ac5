"""Which service and model a text means, and who is at an address."""

import os

import pytest

from holystream_nb.errors import SetupError, UnknownProvider
from holystream_nb.providers.select import at, found_at, select
from holystream_nb.providers.spellings import SERVICES, SPELLINGS
from holystream_nb.providers.table import provider, providers, unavailable

NONE = {"HOLYSTREAM_PROVIDERS": os.devnull}


@pytest.fixture
def own(tmp_path):
    """Writes the user's file and gives the environment that names it."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "mine.toml"
        path.write_text(text, "utf-8")
        return {"HOLYSTREAM_PROVIDERS": str(path)}

    return write


# Addresses


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://API.OpenAI.com:443/v1/", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.deepseek.com/beta", "deepseek"),
        ("http://localhost:11434/v1", "ollama"),
        ("https://api.openai.com.evil.example/v1", "api.openai.com.evil.example"),
        ("http://api.openai.com/v1", "api.openai.com"),
        ("http://10.0.0.5:8000/v1", "10.0.0.5:8000"),
        ("http://127.0.0.1:8091/v1", "127.0.0.1:8091"),
    ],
)
@pytest.mark.parametrize("asked", ["holysheep", "groq"])
def test_an_address_is_looked_up_in_the_table(url, name, asked):
    """Whoever is at that host is meant; any other host is a provider of its own."""
    place = at(provider(asked, NONE), url, NONE)
    assert place.name == name
    if name in ("openai", "openrouter", "deepseek", "ollama"):
        listed = provider(name, NONE)
        assert (place.price_list, place.key_variable) == (listed.price_list, listed.key_variable)
        assert place.max_tokens_field == listed.max_tokens_field


def test_an_unknown_host_has_nothing_of_holysheeps():
    """Neither its rate, model and socket, nor a key; on one's own machine it has no price."""
    place = found_at("https://elsewhere.example/v1", NONE)
    holysheep = provider("holysheep", NONE)
    assert place.cny_per_usd != holysheep.cny_per_usd
    assert (place.default_model, place.key_variable, place.websocket) == (None, None, None)
    assert (place.price_list, place.websocket_emulation, place.reasoning_models) == ("own", False, ())
    assert found_at("http://[::1]:8000/v1", NONE).price_list == "local"


def test_of_several_entries_on_a_host_the_longest_path_wins(own):
    """A host may have a general entry and one for a part of it."""
    environ = own(
        '[general]\nbase_url = "https://a.example/api"\n[coding]\nbase_url = "https://a.example/api/coding"\n'
        '[other]\nbase_url = "https://a.example/api/cod"\n'
    )
    assert found_at("https://a.example/api/coding/v4", environ).name == "coding"
    assert found_at("https://a.example/api/codings", environ).name == "general"
    assert found_at("https://a.example/v1", environ).name == "general"
    assert at(provider("coding", environ), "https://a.example/api", environ).name == "coding"


def test_what_a_user_says_of_everybody_holds_at_an_unknown_host(own):
    """`[defaults]` reach it too."""
    environ = own("[defaults]\ncny_per_usd = 7\ninclude_usage = false\nrequests_per_minute = 3\n")
    place = found_at("https://elsewhere.example/v1", environ)
    assert (place.cny_per_usd, place.include_usage) == (7, False)


# Words before a colon


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("replicate:llama", "give that service's address as base_url"),
        ("sglang: gpt-4o", "give that service's address as base_url"),
        ("google:gemini-3", "did you mean gemini:"),
        ("lmstudio:qwen", "did you mean lm-studio:"),
        ("opnai:gpt-4o", "did you mean openai:"),
        ("oolama:qwen", "did you mean ollama:"),
        ("Mistrall:large", "did you mean mistral:"),
        ("holyshep:gpt-4.1", "did you mean holysheep:"),
    ],
)
def test_a_word_that_means_a_service_without_an_entry_is_refused(text, said):
    """The sentence says what may be meant, and how a model of that name is written."""
    with pytest.raises(UnknownProvider, match=said) as caught:
        select(text, "holysheep", NONE)
    assert f"holysheep:{text}" in str(caught.value)
    assert select(f"holysheep:{text}", "openai", NONE) == (provider("holysheep", NONE), text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("groc:llama", "groq"),
        ("grpq:llama", "groq"),
        ("qwem:max", "qwen"),
        ("vlmm:m", "vllm"),
        ("xia:m", "xai"),
        ("oepnai:m", "openai"),
    ],
)
def test_a_slip_in_a_short_name_is_refused_as_in_a_long_one(text, meant):
    """One letter of four is a quarter of the word: by their ratio such words went to HolySheep as models' names."""
    with pytest.raises(UnknownProvider, match=f"did you mean {meant}:"):
        select(text, "holysheep", NONE)


def test_every_spelling_is_of_an_entry():
    """And no service without an entry has one."""
    assert set(SPELLINGS.values()) <= set(providers(NONE))
    assert not {*SPELLINGS, *SERVICES} & {*providers(NONE), *unavailable()}


def test_a_service_that_none_can_speak_to_says_why():
    """Its sentence is the whole refusal."""
    with pytest.raises(UnknownProvider, match="GitHub Models was retired"):
        select("github:gpt-4o", "holysheep", NONE)


def test_a_providers_further_addresses_are_its_own():
    """Another region, and a host of one's own at a cloud."""
    assert found_at("https://api.moonshot.cn/v1", NONE).name == "moonshot"
    azure = found_at("https://mine.openai.azure.com/openai/v1", NONE)
    assert (azure.name, azure.key_variable) == ("azure", "AZURE_OPENAI_API_KEY")


@pytest.mark.parametrize("word", sorted({*SERVICES, *SPELLINGS}))
def test_no_services_word_becomes_a_models_name(word):
    """`anthropic:claude` went to HolySheep as a model: now to its own entry, or nowhere."""
    try:
        chosen, model = select(f"{word}:claude", "holysheep", NONE)
    except UnknownProvider:
        return
    assert (chosen.name, model) == (word, "claude")


@pytest.mark.parametrize(
    "text",
    [
        "llama3.2:3b",
        "qwen3:8b",
        "mixtral:8x7b",
        "llama:latest",
        "codellama:13b-instruct",
        "deepseek-r1:1.5b",
        "ft:gpt-4o-mini:org::id",
        "openai/gpt-4o:free",
        "nvidia/nemotron:free",
        "gpt-4.1#cut=5:x",
        "phi4:e2b",
        "sim-reasoner:x",
    ],
)
def test_models_keep_their_colons(text):
    """Tags, fine-tuned models and names with a slash are models at the default provider."""
    chosen, model = select(text, "holysheep", NONE)
    assert (chosen.name, model) == ("holysheep", text)


def test_names_in_the_servers_own_list_win():
    """Ollama's `mistral:7b` never goes to Mistral where Ollama is the session's address."""
    here = found_at("http://10.0.0.5:11434/v1", NONE)
    assert select("mistral:7b", here, NONE, ["mistral:7b", "groq:x"]) == (here, "mistral:7b")
    assert select("groq:x", here, NONE, ["mistral:7b", "groq:x"]) == (here, "groq:x")
    assert select("groq:x", here, NONE, ["mistral:7b"])[0].name == "groq"
    assert select("mistral:7b", here, NONE) == (here, "mistral:7b")  # the list could not be had
    assert select("mistral:7b", "ollama", NONE)[0].name == "ollama"
    assert select("mistral:large", "ollama", NONE)[0].name == "mistral"
    assert select("anthropic:7b", here, NONE, ["anthropic:7b"]) == (here, "anthropic:7b")


def test_the_only_model_of_a_server_is_taken_and_of_several_none():
    """No model is invented: the list stands in the sentence."""
    here = found_at("http://10.0.0.5:8000/v1", NONE)
    assert select("", here, NONE, ["smol"]) == (here, "smol")
    with pytest.raises(SetupError, match=r"10\.0\.0\.5:8000 serves 2 models.*smol, gemma"):
        select("", here, NONE, ["smol", "gemma"])
    with pytest.raises(SetupError, match=r"5 more"):
        select("", here, NONE, [f"m{index}" for index in range(25)])
    with pytest.raises(SetupError, match=r"does not say which it serves"):
        select("", here, NONE)
