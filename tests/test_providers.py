"""The table of providers, a user's own file over it, and addresses."""

import os
import pickle
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from holystream_nb.client.client import Client
from holystream_nb.errors import SetupError, UnknownProvider
from holystream_nb.events import Usage
from holystream_nb.money.card import price_card
from holystream_nb.money.cost import cost
from holystream_nb.providers import table
from holystream_nb.providers.address import endpoint, is_loopback
from holystream_nb.providers.keys import credentials
from holystream_nb.providers.secret import Key
from holystream_nb.providers.select import (
    address_of,
    at,
    offered_socket,
    responses_socket,
    same_host,
    select,
    socket_address,
)
from holystream_nb.providers.table import provider, providers, unavailable
from holystream_nb.providers.values import Price, hides_reasoning, tokens_field

HOSTED = {
    "holysheep",
    "openai",
    "openrouter",
    "perplexity",
    "deepseek",
    "groq",
    "mistral",
    "together",
    "fireworks",
    "cerebras",
    "xai",
    "gemini",
    "anthropic",
    "cohere",
    "minimax",
    "moonshot",
    "qwen",
    "zai",
    "zhipuai",
    "ark",
    "deepinfra",
    "huggingface",
    "hyperbolic",
    "nebius",
    "novita",
    "nvidia",
    "sambanova",
    "siliconflow",
    "portkey",
}
CLOUDS = {"azure", "bedrock", "vertex"}  # whose address depends on the user
PROXY = "litellm"
OWN_MACHINE = {"ollama", "vllm", "lm-studio", "llama.cpp"}


@pytest.fixture
def own(tmp_path):
    """Writes the user's file and gives the environment that names it."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "mine.toml"
        path.write_text(text, "utf-8")
        return {"HOLYSTREAM_PROVIDERS": str(path)}

    return write


NONE = {"HOLYSTREAM_PROVIDERS": os.devnull}


class TestTable:
    def test_it_holds_exactly_the_promised_providers(self):
        """The built-in table has every provider the project names, and no other."""
        assert set(providers(NONE)) == HOSTED | CLOUDS | {PROXY} | OWN_MACHINE | {"simulator"}

    @pytest.mark.parametrize("name", sorted(HOSTED))
    def test_a_hosted_provider_has_https_and_a_key_variable(self, name):
        """Every provider on the network is called by https with a key from its own variable."""
        row = provider(name, NONE)
        assert row.base_url is not None
        assert row.base_url.startswith("https://")
        assert row.key_variable is not None
        assert row.key_variable.endswith("_API_KEY") or name == "huggingface"
        assert not row.key_optional

    def test_no_two_providers_share_a_key_variable(self):
        """A variable belongs to one provider."""
        variables = [row.key_variable for row in providers(NONE).values() if row.key_variable]
        assert len(variables) == len(set(variables)) == len(HOSTED) + len(CLOUDS - {"vertex"}) + 1

    @pytest.mark.parametrize("name", sorted(OWN_MACHINE))
    def test_a_local_provider_is_on_loopback_without_key_and_price(self, name):
        """Servers on one's own machine need no key and have no price."""
        row = provider(name, NONE)
        assert row.base_url is not None
        assert is_loopback(row.base_url)
        assert (row.key_variable, row.price_list) == (None, "local")

    @pytest.mark.parametrize(
        ("name", "yours", "example"),
        [
            ("azure", "your resource", "https://RESOURCE.openai.azure.com/openai/v1"),
            ("bedrock", "your region", "https://bedrock-runtime.REGION.amazonaws.com/openai/v1"),
            ("vertex", "your location and your project", "https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJ"),
        ],
    )
    def test_a_cloud_has_no_address_before_the_user_names_it(self, name, yours, example):
        """The refusal says what the address depends on, and shows its form."""
        with pytest.raises(SetupError) as caught:
            address_of(provider(name, NONE))
        assert str(caught.value).startswith(f'The address of {name} depends on {yours}: give it as base_url="{example}')
        assert str(caught.value).endswith(f"or under [{name}] in providers.toml.")

    def test_a_proxy_of_ones_own_is_paid_for(self):
        """LiteLLM is on this machine, and still no `local, no price`; it is asked without a key where none is set."""
        row = provider(PROXY, NONE)
        assert is_loopback(row.base_url)
        assert row.price_list != "local"
        assert credentials(row, environ={}) is None
        assert credentials(row, environ={"LITELLM_API_KEY": "sk-1234567890"}).reveal() == "sk-1234567890"

    def test_new_groups_are_in_order(self):
        """Within a group of the file (`## …`) the entries stand in alphabetical order."""
        text = Path(table.__file__).with_name("providers.toml").read_text("utf-8")
        for group in text.split("\n## ")[1:-1]:
            names = re.findall(r"^\[([a-z.-]+)\]", group, re.MULTILINE)
            assert names == sorted(names)

    @pytest.mark.parametrize("name", sorted(HOSTED | CLOUDS | {PROXY} | OWN_MACHINE))
    def test_no_row_claims_more_than_is_known(self, name):
        """Every row names the documentation it is from, and says that nobody has called the service."""
        row = provider(name, NONE)
        assert row.tried == "not tried live"
        assert row.source.startswith("https://") or (name == "holysheep" and "documents" in row.source)
        assert row.rate_source

    def test_every_row_is_in_one_spelling(self):
        """Addresses in the table are already what `endpoint` makes of them."""
        addresses = [row.base_url for row in providers(NONE).values() if row.base_url]
        addresses += [
            re.sub(r"{[a-z]+}", "x", address) for row in providers(NONE).values() for address in row.addresses
        ]
        assert addresses == [endpoint(address) for address in addresses]

    def test_holysheep_is_as_its_documents_describe_it(self):
        """Address, variable and rate are the documents'."""
        row = provider("holysheep", NONE)
        assert row.base_url == "https://api.holysheep.ai/v1"
        assert row.key_variable == "HOLYSHEEP_API_KEY"
        assert row.cny_per_usd == 1
        assert provider("openai", NONE).cny_per_usd == Decimal("7.3")

    def test_the_simulator_has_no_address_key_or_real_price(self):
        """The simulator gets its address when it runs, and its prices are marked."""
        row = provider("simulator", NONE)
        assert (row.base_url, row.key_variable, row.price_list) == (None, None, "simulated")
        assert row.default_model == provider("holysheep", NONE).default_model == "deepseek-v3.2"

    def test_switches_the_documentation_makes_necessary_are_set(self):
        """Mistral and Cohere refuse stream_options, and reasoning models at OpenAI refuse max_tokens."""
        assert not provider("mistral", NONE).include_usage
        assert not provider("cohere", NONE).include_usage
        assert provider("mistral", NONE).max_tokens_field == "max_tokens"
        assert provider("openai", NONE).max_tokens_field == "max_completion_tokens"

    def test_every_price_list_exists(self):
        """A price list that is not one of our words is a provider of genai-prices."""
        from genai_prices.data import providers as listed

        lists = {row.price_list for row in providers(NONE).values()}
        assert "huggingface_{suffix}" in lists
        lists |= {"huggingface_groq"}
        ours = {"card", "simulated", "local", "own", "{prefix}", "huggingface_{suffix}"}
        assert lists - ours <= {lister.id for lister in listed}

    def test_every_listed_price_can_be_found(self):
        """One model of each list gets its price under the name that the service has for it."""
        models = {
            "anthropic": "claude-sonnet-4-5-20250929",
            "azure": "gpt-4o",
            "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "cohere": "command-a-03-2025",
            "huggingface": "Qwen/Qwen3-32B:groq",
            "litellm": "openai/gpt-4o",
            "minimax": "MiniMax-M2",
            "moonshot": "kimi-k2.5",
            "novita": "deepseek/deepseek-r1",
            "vertex": "google/gemini-2.5-flash",
            "zai": "glm-4.6",
            "zhipuai": "glm-4.7",
        }
        for name, model in models.items():
            card = price_card(provider(name, NONE), model)
            paid = cost(Usage(1000, 1000, 2000, None, None, True), card)
            assert (paid.note, paid.usd) > ("", 0), name

    @pytest.mark.parametrize(
        ("name", "model"),
        [
            ("nvidia", "meta/llama-3.1-8b"),
            ("huggingface", "Qwen/Qwen3-32B"),
            ("huggingface", "Qwen/Qwen3-32B:nowhere"),
            ("litellm", "gpt-4o"),
            ("litellm", "mine/gpt-4o"),
            ("portkey", "@openai/gpt-4o"),
        ],
    )
    def test_a_price_nobody_lists_is_unknown(self, name, model):
        """A service without a list, a gateway's alias and a route without one have no price, and are not free."""
        card = price_card(provider(name, NONE), model)
        assert (card.input, card.output, card.note) == (None, None, "unknown")

    @pytest.mark.parametrize(
        ("name", "model", "field"),
        [
            ("openrouter", "openai/o3-mini", "max_completion_tokens"),
            ("openrouter", "openai/gpt-4o", "max_tokens"),
            ("portkey", "@prod/GPT-5.1", "max_completion_tokens"),
            ("litellm", "o4-mini", "max_completion_tokens"),
            ("holysheep", "gpt-6-luna", "max_completion_tokens"),
            ("holysheep", "gpt-4.1", "max_tokens"),
            ("bedrock", "us.openai.gpt-oss-20b", "max_completion_tokens"),
            ("azure", "my-deployment", "max_completion_tokens"),
            ("mistral", "mistral-large", "max_tokens"),
            ("ollama", "o1-mine", "max_tokens"),
        ],
    )
    def test_a_reasoning_model_gets_its_field_wherever_it_is_served(self, name, model, field):
        """OpenAI's reasoning models refuse max_tokens behind any gateway, with a vendor before the name or without."""
        assert tokens_field(provider(name, NONE), model) == field

    def test_headers_and_silences_are_the_documented_ones(self):
        """Azure and Portkey have headers of their own for the key; who sends comments meanwhile is given up sooner."""
        headers = {row.name: row.key_header for row in providers(NONE).values() if row.key_header}
        assert headers == {"azure": "api-key", "portkey": "x-portkey-api-key"}
        waits = {row.name: row.inactivity for row in providers(NONE).values() if row.inactivity != 600}
        assert waits == {"openrouter": 180, "deepseek": 180, "xai": 900, "anthropic": 180}

    def test_a_provider_is_spoken_to_in_the_format_that_it_speaks_first(self):
        """Who does not speak Chat Completions first is asked in its own format; the table says what else it speaks."""
        table = providers(NONE)
        others = {row.name: row.wire for row in table.values() if row.wire != "chat"}
        assert others == {
            "openai": "responses", "xai": "responses", "perplexity": "responses", "anthropic": "messages"
        }  # fmt: skip
        assert all(row.wires[0] == row.wire and len(set(row.wires)) == len(row.wires) for row in table.values())
        assert all("messages" in row.wires for row in table.values() if row.messages_url or row.messages_key_header)
        assert all("responses" in row.wires for row in table.values() if row.responses_url or row.responses_websocket)

    def test_addresses_of_other_formats_move_with_their_provider(self):
        """At any address of its own a service has its Messages where they are; elsewhere everything is in one place."""
        row = provider("moonshot", NONE)
        assert at(row, "https://api.moonshot.cn/v1", NONE).messages_url == "/anthropic/v1"
        assert at(row, "https://example.com/v1", NONE).messages_url is None

    @pytest.mark.parametrize(
        ("base_url", "address"),
        [
            ("https://api.deepseek.com/v1", "https://api.deepseek.com/anthropic/v1"),
            ("https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic/v1"),
            ("https://api.moonshot.cn/anthropic", "https://api.moonshot.cn/anthropic/v1"),
            ("https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/anthropic/v1"),
            ("https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
            ("https://api.anthropic.com", "https://api.anthropic.com/v1"),
            ("https://dashscope.aliyuncs.com/apps/anthropic", "https://dashscope.aliyuncs.com/apps/anthropic/v1"),
        ],
    )
    def test_messages_are_found_at_each_address_that_people_have(self, base_url, address):
        """Other clients are given these, with and without /v1."""
        service = Client(base_url=base_url, api_key="abc-12345678", wire="messages").service
        assert service.address("messages") == address

    @pytest.mark.parametrize("url", ["http://far.example/v1", "/v1?key=1", "v1", "//far.example/v1", "/v1/messages"])
    def test_an_address_of_another_format_that_cannot_be_is_refused(self, own, url):
        """One to which a key would go unencrypted, too."""
        with pytest.raises(SetupError, match=r"\[mine\].*messages_url"):
            providers(own(f'[mine]\nbase_url = "https://a.example/v1"\nmessages_url = "{url}"\n'))

    def test_an_entry_that_is_moved_to_another_host_sends_nothing_to_its_old_one(self, own):
        """A key of one's own gateway goes there in every format, and over no socket of the maker's."""
        rows = 'base_url = "https://gateway.example/v1"\nkey_variable = ""\n'
        environ = own(f"[deepseek]\n{rows}[openai]\n{rows}[litellm]\n{rows}")
        for name in ("deepseek", "openai"):
            row = provider(name, environ)
            assert (row.messages_url, row.responses_url, row.responses_websocket) == (None, None, None)
        assert responses_socket(provider("litellm", environ)) == "wss://gateway.example/v1/responses"

    @pytest.mark.parametrize(
        ("name", "base_url", "headers"),
        [
            ("bedrock", "https://bedrock-mantle.eu-west-1.api.aws/openai/v1", {"authorization": "Bearer abc-12345678"}),
            ("bedrock", "https://bedrock-mantle.eu-west-1.api.aws/v1", {"authorization": "Bearer abc-12345678"}),
            ("bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com/anthropic/v1", {"x-api-key": None}),
            ("azure", "https://mine.services.ai.azure.com/openai/v1", {"x-api-key": "abc-12345678"}),
            ("azure", "https://mine.services.ai.azure.com/anthropic", {"api-key": "abc-12345678"}),
        ],
    )
    def test_a_cloud_speaks_messages_at_a_path_of_their_own(self, name, base_url, headers):
        """Whichever of its addresses the user gives, and with the headers that the cloud's own clients send."""
        service = Client(name, base_url=base_url, api_key="abc-12345678", wire="messages").service
        origin = base_url.partition("//")[2].partition("/")[0]
        assert "messages" in service.provider.wires
        assert service.address("messages") == f"https://{origin}/anthropic/v1"
        assert service.address("chat") == base_url
        given = service.headers_of("messages")
        sent = {name: value.reveal() for name, value in given.items() if isinstance(value, Key)}
        assert {name: sent.get(name) for name in headers} == headers
        of_the_user = Client(name, base_url=base_url, api_key="abc-12345678", key_header="x-mine").service
        assert not {"x-api-key", "api-key", "authorization"} & of_the_user.headers_of("messages").keys()

    def test_azure_has_the_socket_of_responses_on_the_users_own_host(self):
        """At the path that its documentation names; a gateway elsewhere is not taken for Azure."""
        mine = at(provider("azure", NONE), "https://mine.openai.azure.com/openai/v1")
        assert responses_socket(mine) == "wss://mine.openai.azure.com/openai/v1/responses"
        assert responses_socket(at(provider("azure", NONE), "https://gateway.example/openai/v1", NONE)) is None

    def test_a_reasoning_model_is_known_by_its_name_behind_a_gateway(self):
        """What reasons in silence does so under a vendor's prefix too."""
        assert hides_reasoning(provider("portkey", NONE), "@prod/gpt-5.1")
        assert hides_reasoning(provider("bedrock", NONE), "us.openai.gpt-5.4")
        assert not hides_reasoning(provider("openai", NONE), "gpt-4o")

    def test_a_provider_is_a_plain_value(self):
        """Providers can be compared, hashed and sent to another process."""
        row = provider("openai", NONE)
        assert pickle.loads(pickle.dumps(row)) == row
        assert len({row, provider("openai", NONE)}) == 1


class TestNames:
    def test_case_and_spaces_do_not_matter(self):
        """A provider is found in any case."""
        assert provider(" OpenAI ", NONE).name == "openai"

    def test_an_unknown_name_is_answered_with_the_known_ones(self):
        """A typing mistake is met with the nearest name and the whole list."""
        with pytest.raises(UnknownProvider, match=r"'holysheap' \(did you mean holysheep\?\): known are .*ollama"):
            provider("holysheap", NONE)
        with pytest.raises(UnknownProvider, match=r"'zzz': known are"):
            provider("zzz", NONE)

    @pytest.mark.parametrize("word", ["github", " GitHub-Models"])
    def test_a_service_that_cannot_be_used_says_why(self, word, own):
        """Services that have ended are refused by name; a user's own entry is not."""
        with pytest.raises(UnknownProvider, match=r"^GitHub Models was.*: choose "):
            provider(word, NONE)
        name = word.strip().lower()
        mine = own(f'[{name}]\nbase_url = "https://proxy.example/v1"\n')
        assert provider(word, mine).base_url == "https://proxy.example/v1"

    def test_what_cannot_be_used_is_in_no_table(self):
        """A word is a provider, or says why it is none; every such sentence has a source."""
        assert not set(unavailable()) & set(providers(NONE))
        text = Path(table.__file__).with_name("unavailable.toml").read_text("utf-8")
        assert text.count("source = ") == len(unavailable())
        assert all(sentence.endswith(".") for sentence in unavailable().values())

    @pytest.mark.parametrize(
        ("text", "default", "expected"),
        [
            ("gpt-4.1", "holysheep", ("holysheep", "gpt-4.1")),
            ("openai:gpt-4o", "holysheep", ("openai", "gpt-4o")),
            ("OpenAI: gpt-4o ", "holysheep", ("openai", "gpt-4o")),
            ("llama3.2:3b", "ollama", ("ollama", "llama3.2:3b")),
            ("ollama:llama3.2:3b", "holysheep", ("ollama", "llama3.2:3b")),
            ("llama.cpp:qwen", "holysheep", ("llama.cpp", "qwen")),
            ("meta-llama/llama-3:free", "openrouter", ("openrouter", "meta-llama/llama-3:free")),
            ("openrouter:meta-llama/llama-3:free", "holysheep", ("openrouter", "meta-llama/llama-3:free")),
            ("ollama:mistral:7b", "ollama", ("ollama", "mistral:7b")),
            ("simulator:", "holysheep", ("simulator", "deepseek-v3.2")),
            ("", "holysheep", ("holysheep", "deepseek-v3.2")),
            ("openai", "holysheep", ("holysheep", "openai")),
        ],
    )
    def test_provider_and_model_are_told_apart(self, text, default, expected):
        """What stands before the first colon is a provider only if one has that name."""
        chosen, model = select(text, default, NONE)
        assert (chosen.name, model) == expected

    def test_a_provider_without_a_default_model_asks_for_one(self):
        """No model is invented where the provider has no default."""
        with pytest.raises(SetupError, match="openai has no default model: name one, as in openai:MODEL"):
            select("openai:", "holysheep", NONE)


class TestOwnFile:
    def test_it_adds_a_provider(self, own):
        """A new entry needs its address only."""
        row = provider("here", own('[here]\nbase_url = "http://127.0.0.1:9/v1/"\n'))
        assert (row.base_url, row.key_variable, row.include_usage) == ("http://127.0.0.1:9/v1", None, True)
        assert row.source == "the user's providers.toml"
        assert select("here:m:x", environ=own('[here]\nbase_url = "http://127.0.0.1:9/v1/"\n'))[1] == "m:x"

    def test_it_overrides_field_by_field(self, own):
        """A field that is not named stays as it was."""
        before = provider("groq", NONE)
        after = provider("groq", own('[groq]\ninclude_usage = false\nreasoning_models = ["a*"]\n'))
        assert (after.include_usage, after.reasoning_models) == (False, ("a*",))
        assert (after.base_url, after.key_variable) == (before.base_url, before.key_variable)
        assert after.max_tokens_field == "max_completion_tokens"

    def test_its_numbers_are_exact(self, own):
        """A rate is the decimal that was written, and its source is then the file."""
        row = provider("xai", own("[xai]\ncny_per_usd = 7.11\n"))
        assert row.cny_per_usd == Decimal("7.11")
        assert row.rate_source.endswith("mine.toml")

    def test_its_defaults_reach_every_entry_that_says_nothing_itself(self, own):
        """One line changes the exchange rate of everybody but HolySheep."""
        table = providers(own("[defaults]\ncny_per_usd = 7\n"))
        assert {table["openai"].cny_per_usd, table["vllm"].cny_per_usd} == {Decimal(7)}
        assert table["holysheep"].cny_per_usd == 1

    def test_its_prices_replace_a_model_at_a_time(self, own):
        """A price entry is one model's, with source and date."""
        row = provider(
            "holysheep",
            own('[holysheep.prices."gpt-4.1"]\ninput = 1.5\noutput = 6\nsource = "contract"\nas_of = "2026-11-20"\n'),
        )
        assert row.prices == (Price("gpt-4.1", Decimal("1.5"), Decimal(6), None, "contract", "2026-11-20"),)

    def test_it_is_read_again_when_it_has_changed(self, own):
        """An edit is seen by the next look-up; a file that is as it was is not read again."""
        environ = own('[groq]\ndefault_model = "a"\n')
        first = providers(environ)
        assert providers(environ) is first
        own('[groq]\ndefault_model = "longer"\n')
        assert provider("groq", environ).default_model == "longer"

    def test_it_is_found_in_the_configuration_folder(self, tmp_path):
        """Without HOLYSTREAM_PROVIDERS the file in platformdirs' folder counts, and none is needed."""
        code = "from holystream_nb.providers.table import provider; print(provider('groq').default_model)"
        home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}

        def default_model() -> str:
            run = [sys.executable, "-c", code]
            return subprocess.run(run, env=home, check=True, capture_output=True, text=True).stdout.strip()

        from platformdirs import user_config_path

        assert default_model() == "None"
        if sys.platform != "linux":
            pytest.skip(f"the folder cannot be moved here: {user_config_path('holystream_nb', appauthor=False)}")
        (tmp_path / "holystream_nb").mkdir()
        (tmp_path / "holystream_nb" / "providers.toml").write_text('[groq]\ndefault_model = "m"\n')
        assert default_model() == "m"

    def test_a_named_file_must_exist(self, tmp_path):
        """A path in HOLYSTREAM_PROVIDERS that leads nowhere is an error, not an empty table."""
        with pytest.raises(SetupError, match=r"gone\.toml cannot be read \(No such file"):
            providers({"HOLYSTREAM_PROVIDERS": str(tmp_path / "gone.toml")})
        with pytest.raises(SetupError, match="cannot be read"):
            providers({"HOLYSTREAM_PROVIDERS": str(tmp_path)})

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[groq\n", r"mine\.toml is not TOML: .*line 1"),
            ("x = 1\n", r"mine\.toml: x stands outside an entry"),
            ("[Groq]\n", r"\[Groq\] must have a name of small letters"),
            ('["a:b"]\n', r"must have a name of small letters"),
            (
                "[groq]\nfoo = 1\n",
                r"mine\.toml: \[groq\] has an unknown field foo \(known are base_url, addresses, key_v",
            ),
            ("[groq]\nwire = 'chat'\n", r"\[groq\] has an unknown field wire, did you mean wires\? \(known"),
            ("[llama.cpp]\ntried = 'x'\n", r'\[llama\] has an unknown field cpp .*in quotes, "like\.this"'),
            ("[groq]\ninclude_usage = 1\n", r"\[groq\] include_usage must be true or false"),
            ("[groq]\nbase_url = 7\n", r"\[groq\] base_url must be a text"),
            ("[groq]\nbase_url = 'api.groq.com'\n", r"\[groq\] base_url must begin with https://"),
            ("[groq]\ncny_per_usd = '7.3'\n", r"\[groq\] cny_per_usd must be a number"),
            ("[groq]\ninactivity = 1e400\n", r"\[groq\] inactivity must be a number above 0, and not endless"),
            ("[groq]\ncny_per_usd = 0\n", r"\[groq\] cny_per_usd must be a number above 0"),
            ("[groq]\ncny_per_usd = nan\n", r"\[groq\] cny_per_usd must be a number"),
            ("[groq]\ncny_per_usd = true\n", r"\[groq\] cny_per_usd must be a number"),
            ("[groq]\nmax_tokens_field = 'tokens'\n", r"max_tokens_field must be max_tokens or max_completion_tokens"),
            ("[groq]\nreasoning_models = 'a*'\n", r"reasoning_models must be a list of texts"),
            ("[groq]\nprices = 1\n", r"\[groq\] prices must be tables"),
            ("[groq.prices]\nm = 1\n", r'\[groq\.prices\."m"\] must be a table'),
            ("[groq.prices.m]\noutput = -1\n", r'\[groq\.prices\."m"\] output must be a number, not negative'),
            ("[groq.prices.m]\ntotal = 1\n", r'\[groq\.prices\."m"\] has an unknown field total'),
            ("[new]\ninclude_usage = true\n", r"\[new\] needs a base_url"),
            ("[defaults]\nbase_url = 'https://a.example'\n", r"\[defaults\] has an unknown field base_url"),
        ],
    )
    def test_what_it_cannot_mean_is_refused_by_name(self, own, text, message):
        """File, entry and field of a mistake are named."""
        with pytest.raises(SetupError, match=message):
            providers(own(text))

    @pytest.mark.parametrize(
        "line",
        [
            "api_key = 'hs_live_secret1'",
            "key = 'hs_live_secret1'",
            "token = 'hs_live_secret1'",
            "Authorization = 'Bearer hs_live_secret1'",
            "key_variable = 'hs_live_secret1'",
            "base_url = 'https://hs_live_secret1@api.groq.com'",
            "max_tokens_field = 'hs_live_secret1'",
        ],
    )
    def test_a_key_in_it_is_refused_and_not_repeated(self, own, line):
        """A key does not belong into the file, and the refusal does not print it."""
        with pytest.raises(SetupError) as caught:
            providers(own(f"[groq]\n{line}\n"))
        assert "secret1" not in str(caught.value)
        assert "[groq]" in str(caught.value)

    def test_moving_the_host_does_not_take_the_key_along(self, own):
        """Whoever changes a provider's host says which key that host gets."""
        with pytest.raises(SetupError, match=r"\[openai\] moves base_url to another host; name the key_variable"):
            providers(own('[openai]\nbase_url = "https://proxy.example/v1"\n'))
        moved = own('[openai]\nbase_url = "https://proxy.example/v1"\nkey_variable = "PROXY_KEY"\n')
        assert provider("openai", moved).key_variable == "PROXY_KEY"
        keyless = own('[openai]\nbase_url = "https://proxy.example/v1"\nkey_variable = ""\n')
        assert provider("openai", keyless).key_variable is None
        same_host = own('[openai]\nbase_url = "https://api.openai.com/v2"\n')
        assert provider("openai", same_host).key_variable == "OPENAI_API_KEY"
        mine = own('[azure]\nbase_url = "https://mine.openai.azure.com/openai/v1"\n')
        assert provider("azure", mine).key_variable == "AZURE_OPENAI_API_KEY"
        for elsewhere in ("https://openai.azure.com.evil.example/v1", "https://a.b.openai.azure.com/v1"):
            with pytest.raises(SetupError, match=r"\[azure\] moves base_url"):
                providers(own(f'[azure]\nbase_url = "{elsewhere}"\n'))
        other_machine = own('[ollama]\nbase_url = "http://box.lan:11434/v1"\n')
        assert provider("ollama", other_machine).base_url == "http://box.lan:11434/v1"


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("https://API.example.com/v1/", "https://api.example.com/v1"),
            ("HTTP://127.0.0.1:80", "http://127.0.0.1:80"),
            ("http://[::1]:8000//", "http://[::1]:8000"),
        ],
    )
    def test_an_address_has_one_spelling(self, text, expected):
        """Slashes at the end and capitals in the host are taken away."""
        assert endpoint(text) == expected

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("api.example.com/v1", "must begin with https://"),
            ("ftp://a.example", "must begin with https://"),
            ("https://", "names no host"),
            ("https://a.example:0", "names no host"),
            ("https://a.example:port", "is not an address"),
            ("https://[::1", "is not an address"),
            ("https://me:pass@a.example", "user name or a key"),
            ("https://evil.example\\@127.0.0.1/", "character that no address has"),
            ("https://a.example/ v1", "character that no address has"),
            ("https://a.example/\nX: y", "character that no address has"),
            ("https://ａ.example", "character that no address has"),
            ("https://a.example/v1?key=1", "before any"),
            ("https://a.example/v1#x", "before any"),
            ("https://a.example/v1/chat/completions", "must end before /chat/completions"),
            ("https://a.example/v1/messages", "must end before /messages"),
            ("https://a.example/v1/responses/", "must end before /responses"),
        ],
    )
    def test_what_is_not_an_address_is_refused(self, text, message):
        """A base_url is http or https, a host and a path, and nothing else."""
        with pytest.raises(SetupError, match=message):
            endpoint(text)

    def test_the_simulator_must_run_first(self):
        """A provider without an address cannot be called."""
        with pytest.raises(SetupError, match="start it"):
            endpoint(provider("simulator", NONE).base_url)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://api.openai.com/v1", True),
            ("https://API.OpenAI.com:443/other", True),
            ("http://api.openai.com/v1", False),
            ("https://api.openai.com:8443/v1", False),
            ("https://api.openai.com.evil.example/v1", False),
            ("https://evil.example/api.openai.com", False),
        ],
    )
    def test_the_same_host_is_the_same_scheme_host_and_port(self, url, expected):
        """A look-alike, another port and an unencrypted address are other hosts."""
        assert same_host(url, provider("openai", NONE)) is expected

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://localhost:1/v1", True),
            ("http://LOCALHOST", True),
            ("http://127.0.0.1:8000", True),
            ("http://127.9.9.9", True),
            ("http://[::1]:8000", True),
            ("http://127.0.0.1.evil.example", False),
            ("http://localhost.evil.example", False),
            ("http://0.0.0.0:8000", False),
            ("http://192.168.0.1", False),
            ("http://128.0.0.1", False),
            ("nonsense", False),
            ("http://[::1", False),
        ],
    )
    def test_loopback_is_this_machine_only(self, url, expected):
        """localhost, 127.0.0.0/8 and ::1, and nothing that merely looks like them."""
        assert is_loopback(url) is expected

    @pytest.mark.parametrize(
        ("url", "name", "expected"),
        [
            ("https://mine.openai.azure.com/openai/v1", "azure", True),
            ("https://MINE-2.openai.azure.com/openai/deployments/gpt", "azure", True),
            ("https://mine.services.ai.azure.com/openai/v1", "azure", True),
            ("https://openai.azure.com/v1", "azure", False),
            ("https://a.b.openai.azure.com/v1", "azure", False),
            ("https://mine.openai.azure.com.evil.example/v1", "azure", False),
            ("https://evil.example/mine.openai.azure.com", "azure", False),
            ("http://mine.openai.azure.com/v1", "azure", False),
            ("https://mine.openai.azure.com:8443/v1", "azure", False),
            ("https://minexopenai.azure.com/v1", "azure", False),
            ("https://bedrock-mantle.eu-west-1.api.aws/openai/v1", "bedrock", True),
            ("https://europe-west4-aiplatform.googleapis.com/v1", "vertex", True),
            ("https://aiplatform.googleapis.com/v1", "vertex", True),
            ("https://storage.googleapis.com/v1", "vertex", False),
            ("https://api.moonshot.cn/v1", "moonshot", True),
            ("https://api.moonshot.de/v1", "moonshot", False),
        ],
    )
    def test_a_provider_may_have_several_addresses(self, url, name, expected):
        """A key goes to the hosts that its service names: a region's, or one with a part of the user's own."""
        found = at(provider(name, NONE), url)
        assert same_host(url, provider(name, NONE)) is expected
        assert (found.name == name) is expected
        assert (found.key_variable == provider(name, NONE).key_variable) is (expected or name == "vertex")

    def test_extras_of_ones_own_stay_at_the_origin_they_were_given_for(self, own):
        """A header or a query is for the entry's address, not for the service's other ones; its key is for both."""
        environ = own('[moonshot.headers]\nx-team = "blue"\n[azure.query]\napi-version = "2025-01-01"\n')
        moonshot = provider("moonshot", environ)
        assert [name for name, _ in at(moonshot, "https://api.moonshot.ai/v2").headers] == ["x-team"]
        elsewhere = at(moonshot, "https://api.moonshot.cn/v1")
        assert (elsewhere.headers, elsewhere.key_variable) == ((), "MOONSHOT_API_KEY")
        azure = at(provider("azure", environ), "https://mine.openai.azure.com/openai/v1")
        assert [name for name, _ in azure.query] == ["api-version"]

    def test_at_another_host_nothing_is_left_of_the_provider(self):
        """Elsewhere there is no name, key, price, default model or field of the provider's own."""
        openai = provider("openai", NONE)
        moved = at(openai, "http://127.0.0.1:8000/v1/")
        assert (moved.name, moved.base_url) == ("127.0.0.1:8000", "http://127.0.0.1:8000/v1")
        assert (moved.key_variable, moved.price_list, moved.prices) == (None, "local", ())
        assert (moved.max_tokens_field, moved.reasoning_models) == ("max_tokens", ())
        proxied = at(provider("holysheep", NONE), "https://proxy.example/v1")
        assert (proxied.name, proxied.price_list, proxied.default_model) == ("proxy.example", "own", None)
        assert proxied.cny_per_usd == openai.cny_per_usd

    def test_at_its_own_host_a_provider_is_itself(self):
        """Another path at the same host is still the provider; the simulator is itself wherever it runs."""
        openai = provider("openai", NONE)
        assert at(openai, None) is openai
        assert at(openai, "https://api.openai.com/v2").key_variable == "OPENAI_API_KEY"
        running = at(provider("simulator", NONE), "http://127.0.0.1:4000/v1")
        assert (running.name, running.price_list) == ("simulator", "simulated")


def test_importing_the_rooms_is_light():
    """Reading files and price lists is left to the functions that need it."""
    heavy = ("platformdirs", "tomllib", "genai_prices", "difflib", "pydantic", "httpx2")
    code = (
        "import sys, holystream_nb.providers.table, holystream_nb.money.card;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    root = Path(__file__).parent.parent
    run = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


# WebSocket addresses


def test_where_a_providers_socket_is():
    """HolySheep's has a host of its own, the simulator's is on its own address; most services have none."""
    assert socket_address(provider("holysheep")) == "wss://stream.holysheep.ai/v1/chat/stream"
    simulator = at(provider("simulator"), "http://127.0.0.1:8000/v1")
    assert socket_address(simulator) == "ws://127.0.0.1:8000/v1/chat/stream"
    assert socket_address(provider("openai")) is None
    assert socket_address(at(provider("holysheep"), "https://elsewhere.example/v1")) is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("wss://api.holysheep.ai/s/1?id=2", "wss://api.holysheep.ai/s/1?id=2"),
        ("https://api.holysheep.ai/s/1", "wss://api.holysheep.ai/s/1"),
        ("wss://stream.holysheep.ai/s/1", "wss://stream.holysheep.ai/s/1"),
        ("wss://STREAM.holysheep.ai:443/s/1", "wss://STREAM.holysheep.ai:443/s/1"),
        ("/v1/s/1", "wss://api.holysheep.ai/v1/s/1"),
        ("ws://api.holysheep.ai/s/1", None),
        ("http://api.holysheep.ai/s/1", None),
        ("wss://api.holysheep.ai:8443/s/1", None),
        ("wss://api.holysheep.ai.evil.example/s", None),
        ("wss://evil.example/api.holysheep.ai", None),
        ("wss://api.holysheep.ai@evil.example/s", None),
        ("wss://key@api.holysheep.ai/s", None),
        ("wss://api.holysheep.ai/s#part", None),
        ("wss://api.holysheep.ai/\nHost: evil.example", None),
        ("wss://api.holysheep.ai\\@evil.example/", None),
        ("ws://127.0.0.1/s", None),
        ("//evil.example/s", None),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("wss://[::1", None),
        ("wss://", None),
        ("", "wss://api.holysheep.ai/v1"),
    ],
)
def test_an_offered_socket_is_taken_from_the_providers_hosts_only(url, address):
    """Encrypted, or on this machine; anything else is not to be trusted with a key."""
    assert offered_socket(provider("holysheep"), url) == address


def test_a_users_entry_may_have_a_socket(own):
    """With the hosts that its key may go to."""
    environ = own(
        '[mine]\nbase_url = "https://a.example/v1"\nwebsocket = "wss://b.example/s"\nwebsocket_hosts = ["b.example"]\n'
        '[other]\nbase_url = "https://a.example/v1"\nwebsocket = "wss://b.example/s"\n'
    )
    assert socket_address(provider("mine", environ)) == "wss://b.example/s"
    with pytest.raises(SetupError, match="websocket_hosts"):
        socket_address(provider("other", environ))


def test_an_entry_that_moves_takes_no_socket_along(own):
    """Another host's key is not for HolySheep's socket."""
    environ = own('[holysheep]\nbase_url = "https://a.example/v1"\nkey_variable = "A_KEY"\n')
    assert socket_address(provider("holysheep", environ)) is None
    assert provider("holysheep", environ).websocket_hosts == ()


@pytest.mark.parametrize(
    "line",
    [
        'websocket = "ws://a.example/s"',
        'websocket = "https://a.example/s"',
        'websocket = "a.example/s"',
        'websocket_hosts = ["https://a.example"]',
        'websocket_hosts = "a.example"',
        'websocket_emulation = "yes"',
    ],
)
def test_a_socket_that_cannot_be_is_refused(own, line):
    """File, entry and field are named."""
    with pytest.raises(SetupError, match=r"\[mine\] websocket"):
        providers(own(f'[mine]\nbase_url = "https://a.example/v1"\n{line}\n'))
