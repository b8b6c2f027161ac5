"""Costs: exact sums by hand, unknown said as unknown, and HolySheep's card equal to its documents."""

import decimal
import os
import pickle
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from holystream_nb.events import Usage
from holystream_nb.money.card import LOCAL, SIMULATED, UNKNOWN, PriceCard, price_card
from holystream_nb.money.cost import cost, nothing
from holystream_nb.providers.select import at
from holystream_nb.providers.table import provider
from holystream_nb.providers.values import Price, Provider

NO_FILE = {"HOLYSTREAM_PROVIDERS": os.devnull}
HOLYSHEEP = provider("holysheep", NO_FILE)
OPENAI = provider("openai", NO_FILE)


def usage(prompt: int | None, completion: int | None, **more: int | bool | Decimal) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, **more)


CARD = PriceCard("m", Decimal(2), Decimal(8), Decimal("0.5"), Decimal("7.3"), "by hand", "today")


class TestSum:
    def test_it_is_exact(self):
        """1,000 tokens at 2 and 500 at 8 USD per million are 0.006 USD, and 0.0438 CNY at 7.3."""
        assert cost(usage(1_000, 500), CARD).usd == Decimal("0.006")
        assert cost(usage(1_000, 500), CARD).cny == Decimal("0.0438")

    def test_one_token_is_not_rounded_away(self):
        """A single token has its exact price, whatever precision the caller calculates with."""
        with decimal.localcontext(decimal.Context(prec=2)):
            one = cost(usage(1, 1_234_567), replace(CARD, output=Decimal("0.42")))
        assert one.usd == Decimal("0.51852014")
        assert one.cny == Decimal("3.785197022")

    def test_cached_tokens_have_their_own_price(self):
        """Of 1,000 prompt tokens, 400 cached: 600 at 2, 400 at 0.5, 500 answered at 8."""
        assert cost(usage(1_000, 500, cached_tokens=400), CARD).usd == Decimal("0.0054")

    def test_cached_tokens_without_a_price_cost_as_much_as_others(self):
        """A discount nobody has named is not assumed."""
        assert cost(usage(1_000, 500, cached_tokens=400), replace(CARD, cached_input=None)).usd == Decimal("0.006")

    def test_reasoning_is_not_added_twice(self):
        """Reasoning tokens lie inside the completion tokens."""
        assert cost(usage(1_000, 500, reasoning_tokens=300), CARD).usd == Decimal("0.006")

    def test_nothing_used_costs_nothing(self):
        """No tokens at a known price are a real 0."""
        assert cost(usage(0, 0), CARD).usd == 0

    def test_counted_tokens_make_the_cost_inexact(self):
        """A cost of tokens counted here says so."""
        assert cost(usage(10, 10), CARD).exact
        assert not cost(usage(10, 10, exact=False), CARD).exact

    def test_it_carries_the_source_and_date_of_the_price(self):
        """A figure can be traced."""
        figure = cost(usage(10, 10), CARD)
        assert (figure.source, figure.as_of, figure.note) == ("by hand", "today", "")

    @pytest.mark.parametrize(
        "counts",
        [
            usage(None, 10),
            usage(10, None),
            usage(None, None),
            usage(10, -1),
            usage(-10, 1),
            usage(10, 10, cached_tokens=11),
            usage(10, 10, cached_tokens=-1),
        ],
    )
    def test_missing_or_contradicting_counts_are_unknown(self, counts):
        """What cannot be added up is unknown, never 0, by our sum and by the list's."""
        for card in (CARD, price_card(OPENAI, "gpt-4.1")):
            figure = cost(counts, card)
            assert (figure.usd, figure.cny, figure.note) == (None, None, UNKNOWN)

    def test_a_missing_price_is_unknown_only_where_it_is_needed(self):
        """Without an input price a prompt has no known cost, but an empty prompt does."""
        card = replace(CARD, input=None, cached_input=None)
        assert cost(usage(10, 10), card).usd is None
        assert cost(usage(0, 1_000), card).usd == Decimal("0.008")
        assert cost(usage(10, 0), replace(CARD, output=None)).usd == Decimal("0.00002")

    def test_a_card_without_prices_makes_even_nothing_unknown(self):
        """No tokens at no price are not 0."""
        assert cost(usage(0, 0), replace(CARD, input=None, output=None)).note == UNKNOWN


def listed(name: str, model: str) -> PriceCard:
    return price_card(provider(name, NO_FILE), model)


class TestTiers:
    @pytest.mark.parametrize(
        ("name", "model", "tier", "usd"),
        [
            ("openai", "gpt-5", "default", "0.01125"),
            ("openai", "gpt-5", "flex", "0.005625"),
            ("openai", "gpt-5", "Priority", "0.0225"),
            ("openai", "gpt-5", "batch", "0.005625"),
            ("anthropic", "claude-fable-5-2", "fast", "0.096"),
            ("anthropic", "claude-fable-5-2", "standard", "0.048"),
        ],
    )
    def test_the_tier_that_served_it_has_its_price(self, name, model, tier, usd):
        """1,000 tokens asked and 1,000 answered, by the list's prices of the tier that the service named."""
        figure = cost(usage(1_000, 1_000), listed(name, model), tier)
        assert (figure.usd, figure.exact) == (Decimal(usd), True)

    @pytest.mark.parametrize(
        ("name", "model", "tier"), [("openai", "gpt-3.5-turbo", "flex"), ("anthropic", "claude-fable-5-2", "priority")]
    )
    def test_a_tier_that_no_list_has_is_only_likely(self, name, model, tier):
        """The ordinary price, marked."""
        card = listed(name, model)
        figure = cost(usage(1_000, 1_000), card, tier)
        assert (figure.usd, figure.exact) == (cost(usage(1_000, 1_000), card).usd, False)


class TestKinds:
    def test_sound_has_its_price(self):
        """gpt-audio: of 100 and 50 tokens 80 and 40 are sound, at $32 and $64 instead of $2.5 and $10."""
        figure = cost(usage(100, 50, prompt_audio_tokens=80, completion_audio_tokens=40), listed("openai", "gpt-audio"))
        by_hand = 20 * Decimal("2.5") + 80 * 32 + 10 * 10 + 40 * 64
        assert (figure.usd, figure.exact) == (by_hand / 10**6, True)

    @pytest.mark.parametrize(
        ("card", "counts"),
        [
            (CARD, {"prompt_audio_tokens": 80}),
            (CARD, {"completion_audio_tokens": 10}),
            (CARD, {"web_searches": 1}),
            (CARD, {"reasoning_tokens": 51}),
            (listed("openai", "gpt-4.1"), {"prompt_audio_tokens": 80}),
            (listed("gemini", "gemini-2.5-flash"), {"prompt_audio_tokens": 80, "cached_tokens": 50}),
            (listed("deepseek", "deepseek-chat"), {"web_searches": 1}),
        ],
    )
    def test_what_nobody_has_a_price_for_is_only_likely(self, card, counts):
        """Sound at the text's price, a search for nothing, reasoning beyond the output."""
        figure = cost(usage(100, 50, **counts), card)
        assert (figure.usd is not None, figure.exact) == (True, False)

    def test_what_was_refused_costs_nothing(self):
        """Not even the fee that some take for a request; a local answer has no price."""
        sonar = listed("perplexity", "sonar")
        assert (cost(usage(0, 0), sonar).usd, nothing(sonar).usd) == (Decimal("0.012"), 0)
        unknown, simulated = nothing(listed("openai", "nobody-knows")), nothing(listed("simulator", "gpt-4.1"))
        assert [(each.usd, each.note, each.exact) for each in (unknown, simulated)] == [
            (0, "", True),
            (0, SIMULATED, True),
        ]
        assert (nothing(listed("ollama", "x")).usd, nothing(listed("ollama", "x")).note) == (None, LOCAL)

    def test_searches_are_paid_for_each(self):
        """Three at $10 a thousand, beside 100 and 50 tokens at $3 and $15."""
        figure = cost(usage(100, 50, web_searches=3), listed("anthropic", "claude-sonnet-4-5"))
        assert (figure.usd, figure.exact) == (Decimal("0.03") + Decimal("0.00105"), True)


class TestCaches:
    def test_what_is_written_to_a_cache_has_its_own_price(self):
        """Of 1,000 prompt tokens, 400 cached and 200 written: 400 at 2, 400 at 0.5, 200 at 2.5."""
        card = replace(CARD, cache_write=Decimal("2.5"))
        figure = cost(usage(1_000, 0, cached_tokens=400, cache_write_tokens=200), card)
        assert (figure.usd, figure.exact) == (Decimal("0.0015"), True)

    @pytest.mark.parametrize("counts", [{"cached_tokens": 400}, {"cache_write_tokens": 400}])
    def test_a_price_that_is_only_likely_makes_the_cost_inexact(self, counts):
        """Without a price of their own they count as others, and nobody says that this is so."""
        figure = cost(usage(1_000, 0, **counts), replace(CARD, cached_input=None))
        assert (figure.usd, figure.exact) == (Decimal("0.002"), False)

    def test_writes_for_an_hour_are_only_likely_where_a_card_has_one_price(self):
        """Twice the input is Anthropic's, and not everybody's."""
        card = replace(CARD, cache_write=Decimal("2.5"))
        assert not cost(usage(1_000, 0, cache_write_tokens=400, cache_write_1h_tokens=400), card).exact

    def test_anthropic_s_writes_for_five_minutes_and_for_an_hour(self):
        """1.25 and 2 times the input's price, by the list."""
        card = price_card(provider("anthropic", NO_FILE), "claude-sonnet-4-5")
        assert (card.input, card.cache_write) == (3, Decimal("3.75"))
        assert cost(usage(1_000, 0, cache_write_tokens=1_000), card).usd == Decimal("0.00375")
        hour = usage(1_000, 0, cache_write_tokens=1_000, cache_write_1h_tokens=1_000)
        assert cost(hour, card).usd == Decimal("0.006")

    def test_reads_are_not_always_a_tenth(self):
        """What the list says counts."""
        card = price_card(provider("anthropic", NO_FILE), "claude-sonnet-4-5")
        assert card.cached_input is not None
        assert cost(usage(1_000, 0, cached_tokens=1_000), card).usd == card.cached_input / 1_000

    def test_a_users_own_price_of_writes(self, tmp_path):
        """In providers.toml, as the others are."""
        path = tmp_path / "own.toml"
        path.write_text('[holysheep.prices."gpt-4.1"]\ninput = 1\noutput = 4\ncache_write = 1.25\n')
        card = price_card(provider("holysheep", {"HOLYSTREAM_PROVIDERS": str(path)}), "gpt-4.1")
        assert cost(usage(1_000, 0, cache_write_tokens=1_000), card).usd == Decimal("0.00125")


class TestStated:
    def test_a_cost_the_service_states_stands_beside_ours(self):
        """It is what sums and limits reckon with, and no estimate, whatever the counts are."""
        figure = cost(usage(1_000, 500, exact=False, cost=Decimal("0.007")), CARD)
        assert (figure.usd, figure.exact) == (Decimal("0.006"), False)
        assert (figure.stated_usd, figure.stated_cny) == (Decimal("0.007"), Decimal("0.0511"))
        assert (figure.due_usd, figure.due_cny, figure.is_due_exact) == (Decimal("0.007"), Decimal("0.0511"), True)

    def test_a_stated_nothing_is_not_what_is_reckoned_with(self):
        """Behind a gateway with a key of one's own somebody else is paid."""
        figure = cost(usage(1_000, 500, cost=Decimal(0)), CARD)
        assert (figure.stated_usd, figure.due_usd, figure.due_cny) == (0, figure.usd, figure.cny)
        assert cost(usage(10, 10, cost=Decimal(0)), price_card(HOLYSHEEP, "gpt-9")).due_usd == 0

    def test_it_is_known_where_no_price_is(self):
        """A model that no list has."""
        figure = cost(usage(10, 10, cost=Decimal("0.007")), price_card(HOLYSHEEP, "gpt-9"))
        assert (figure.usd, figure.due_usd, figure.note) == (None, Decimal("0.007"), UNKNOWN)

    def test_without_one_ours_is_due(self):
        """As ever."""
        figure = cost(usage(1_000, 500), CARD)
        assert (figure.stated_usd, figure.due_usd, figure.due_cny) == (None, figure.usd, figure.cny)

    def test_output_without_a_name_is_billed_and_not_exact(self):
        """Nobody says what it is."""
        figure = cost(usage(3, 102, other_tokens=93), CARD)
        assert (figure.usd, figure.exact) == (Decimal("0.000822"), False)


class TestHolySheep:
    @pytest.mark.parametrize(
        ("model", "input_", "cached", "output"),
        [
            ("gpt-4.1", "2.00", "0.50", "8.00"),
            ("gpt-4o", "2.50", "1.25", "3.50"),
            ("claude-sonnet-4.5", "3.00", "0.30", "15.00"),
            ("gemini-2.5-flash", "0.30", "0.03", "2.50"),
            ("deepseek-v3.2", "0.2288", None, "0.42"),
        ],
    )
    def test_the_card_is_the_documents_table(self, model, input_, cached, output):
        """Output prices are the documents', input prices the maker's list price, and both sources are named."""
        card = price_card(HOLYSHEEP, model)
        assert (card.input, card.output) == (Decimal(input_), Decimal(output))
        assert card.cached_input == (None if cached is None else Decimal(cached))
        assert "HolySheep's document" in card.source
        assert "list price" in card.source
        assert card.as_of == "undated document, digest 2026-11; input: genai-prices 0.2.3"

    def test_a_million_answered_tokens_cost_the_tables_figure_in_both_currencies(self):
        """At HolySheep one yuan buys one dollar of usage."""
        figure = cost(usage(0, 1_000_000), price_card(HOLYSHEEP, "deepseek-v3.2"))
        assert (figure.usd, figure.cny) == (Decimal("0.42"), Decimal("0.42"))

    def test_the_case_of_a_model_does_not_matter(self):
        """A model is found as it is usually written."""
        assert price_card(HOLYSHEEP, "DeepSeek-V3.2").output == Decimal("0.42")

    def test_another_model_is_unknown(self):
        """A model the documents do not name has no price, and the card says why."""
        card = price_card(HOLYSHEEP, "gpt-9")
        assert (card.note, card.input, card.output) == (UNKNOWN, None, None)
        assert "'gpt-9'" in card.source
        assert cost(usage(10, 10), card).usd is None

    def test_the_simulator_shows_the_same_price_as_simulated(self):
        """A simulated cost is never mistaken for money spent."""
        figure = cost(usage(1_000, 500), price_card(provider("simulator", NO_FILE), "gpt-4.1"))
        assert (figure.usd, figure.note) == (Decimal("0.006"), SIMULATED)
        assert cost(usage(None, 500), price_card(provider("simulator", NO_FILE), "gpt-4.1")).note == UNKNOWN

    def test_at_another_host_the_card_does_not_hold(self):
        """Another server's answer is not priced as HolySheep's."""
        assert price_card(at(HOLYSHEEP, "https://proxy.example/v1"), "gpt-4.1").note == UNKNOWN
        assert price_card(at(HOLYSHEEP, "http://127.0.0.1:8000/v1"), "gpt-4.1").note == LOCAL


class TestOwnPrices:
    def seller(self, base: Provider) -> Provider:
        return replace(base, prices=(Price("gpt-4.1", Decimal(1), Decimal(4), None, "contract", "2026-11-20"),))

    @pytest.mark.parametrize("name", ["holysheep", "openai", "ollama"])
    def test_they_come_before_every_list(self, name):
        """A user's own price replaces the card's, the list's, and even `local`."""
        card = price_card(self.seller(provider(name, NO_FILE)), "gpt-4.1")
        assert cost(usage(1_000, 500), card).usd == Decimal("0.003")
        assert (card.source, card.as_of, card.note) == ("contract", "2026-11-20", "")

    def test_they_change_no_other_model(self):
        """The rest of the card stands."""
        assert price_card(self.seller(HOLYSHEEP), "gpt-4o").output == Decimal("3.50")

    def test_from_the_users_file_to_the_cost(self, tmp_path):
        """What is written in providers.toml is what is calculated with, digit by digit."""
        path = tmp_path / "own.toml"
        path.write_text('[holysheep.prices."gpt-4.1"]\ninput = 0.1\noutput = 0.7\n')
        seller = provider("holysheep", {"HOLYSTREAM_PROVIDERS": str(path)})
        figure = cost(usage(3, 1), price_card(seller, "gpt-4.1"))
        assert figure.usd == Decimal("0.000001")
        assert (figure.source, figure.as_of) == (str(path), "not dated")


class TestLists:
    def test_a_list_price_is_exact_and_dated_by_the_installed_list(self):
        """A cost by genai-prices equals the sum by hand of the prices on the card."""
        import genai_prices

        card = price_card(OPENAI, "gpt-4.1")
        assert card.input is not None
        assert card.output is not None
        assert card.cached_input is not None
        figure = cost(usage(1_000, 500, cached_tokens=400, reasoning_tokens=100), card)
        by_hand = (600 * card.input + 400 * card.cached_input + 500 * card.output) / 1_000_000
        assert figure.usd == by_hand > 0
        assert figure.cny == by_hand * Decimal("7.3")
        assert figure.as_of == f"genai-prices {genai_prices.__version__}"
        assert "OpenAI" in figure.source

    def test_tiers_are_the_lists_own(self):
        """Past a tier's threshold the whole prompt has the tier's price."""
        anthropic = replace(OPENAI, name="anthropic", price_list="anthropic")
        card = price_card(anthropic, "claude-sonnet-4-5")
        assert card.input is not None
        below, above = (cost(usage(tokens, 0), card).usd for tokens in (200_000, 200_001))
        assert below == 200_000 * card.input / 1_000_000
        assert above is not None
        assert above > below * Decimal("1.5")

    def test_a_price_by_the_time_of_day_is_the_requests(self):
        """The list's hours count at the moment the card was made for."""
        deepseek = provider("deepseek", NO_FILE)
        day, night = (
            price_card(deepseek, "deepseek-chat", datetime(2025, 6, 1, hour, tzinfo=UTC)) for hour in (12, 20)
        )
        day_cost, night_cost = (cost(usage(1_000_000, 0), card).usd for card in (day, night))
        assert (day_cost, night_cost) == (day.input, night.input)
        assert day_cost != night_cost

    def test_a_replaced_global_list_changes_nothing(self):
        """Another library that replaces genai-prices' global snapshot does not change our figures."""
        from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot

        before = cost(usage(1_000, 500), price_card(OPENAI, "gpt-4.1"))
        set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=False))
        try:
            assert cost(usage(1_000, 500), price_card(OPENAI, "gpt-4.1")) == before
        finally:
            set_custom_snapshot(None)

    @pytest.mark.parametrize(
        ("price_list", "model"),
        [
            ("openai", "gpt-99-nonexistent"),
            ("nobody-has-this-name", "gpt-4.1"),
            ("openai", "omni-moderation-latest"),
            ("openrouter", "agentica-org/deepcoder-14b-preview:free"),
        ],
    )
    def test_what_is_not_listed_is_unknown(self, price_list, model):
        """Neither an unknown model nor one that is listed without a price per token costs 0."""
        figure = cost(usage(10, 10), price_card(replace(OPENAI, price_list=price_list), model))
        assert (figure.usd, figure.cny, figure.note) == (None, None, UNKNOWN)
        assert figure.as_of.startswith("genai-prices ")

    def test_half_a_list_price_is_not_a_cost(self):
        """A model listed without an output price has an unknown cost once it answers."""
        card = price_card(OPENAI, "text-embedding-3-small")
        assert cost(usage(1_000, 0), card).usd == Decimal("0.00002")
        assert cost(usage(1_000, 1), card).usd is None

    @pytest.mark.parametrize("name", ["ollama", "vllm", "lm-studio", "llama.cpp"])
    def test_one_s_own_machine_has_no_price(self, name):
        """Local is said in words and is not 0."""
        figure = cost(usage(10, 10), price_card(provider(name, NO_FILE), "llama3.2:3b"))
        assert (figure.usd, figure.note) == (None, LOCAL)

    def test_cards_and_costs_are_plain_values(self):
        """They can be compared and sent to another process."""
        card = price_card(OPENAI, "gpt-4.1", datetime(2026, 11, 20, tzinfo=UTC))
        figure = cost(usage(1, 1), card)
        assert pickle.loads(pickle.dumps((card, figure))) == (card, figure)
