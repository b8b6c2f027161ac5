"""Before anything is sent: requests, cost, and what may be spent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from holystream_nb.errors import SetupError
from holystream_nb.measuring.running.budget import Budget
from holystream_nb.measuring.running.estimate import check_budget, estimate
from holystream_nb.measuring.values.plan import Plan
from holystream_nb.money.budget import Budget as SessionBudget


def plan(**changes: Any) -> Plan:
    return Plan(**{"models": ("holysheep:gpt-4.1",), "prompts": ("x" * 375,), "repeats": 10, "cache": True, **changes})


def test_the_estimate_is_the_sum_by_hand() -> None:
    """94 prompt tokens at $2 and 100 output tokens at $8 a million, 10 requests and 2 warm-ups."""
    found = estimate(plan(parameters={"max_tokens": 100}), workers=2)
    each = (94 * Decimal(2) + 100 * Decimal(8)) / 1_000_000
    assert (found.requests, found.warmups, found.per_request) == (10, 2, (each,))
    assert found.usd == each * 12
    assert str(found) == "10 requests and 2 warm-ups, at most about $0.012"


def test_without_a_limit_on_answers_the_assumption_is_said() -> None:
    """500 tokens, as document 001 measured."""
    assert str(estimate(plan(), 1)) == "10 requests and 1 warm-up, about (if an answer has 500 tokens) $0.046"


def test_what_is_made_already_is_not_estimated_again() -> None:
    """A resumed run is about what is missing; nothing missing needs no warm-up either."""
    assert estimate(plan(), 1, missing=3).requests == 3
    assert (estimate(plan(), 1, missing=0).usd, estimate(plan(), 1, missing=0).warmups) == (0, 0)


def test_an_unknown_price_cannot_keep_a_limit() -> None:
    """max_cost is refused rather than ignored; the sentence names the model."""
    unknown = plan(models=("holysheep:gpt-4.1", "openai:nobody-knows"), max_cost=Decimal(1))
    found = estimate(unknown, 1)
    assert found.usd is None
    assert "the cost is unknown" in str(found)
    with pytest.raises(SetupError, match="no price of openai:nobody-knows"):
        check_budget(unknown, found)


def test_the_tier_that_is_asked_for_decides_what_it_costs() -> None:
    """Priority is twice as dear, and each choice as much as the first."""
    ordinary = estimate(plan(models=("openai:gpt-5",), parameters={"max_tokens": 100}), 1).usd
    priority = estimate(plan(models=("openai:gpt-5",), parameters={"max_tokens": 100, "service_tier": "priority"}), 1)
    several = plan(models=("holysheep:gpt-4.1",), parameters={"max_tokens": 100, "n": 8})
    assert ordinary is not None
    assert priority.usd == 2 * ordinary
    assert estimate(several, 1).per_request == ((94 * Decimal(2) + 800 * Decimal(8)) / 1_000_000,)


def test_a_local_model_costs_nothing_and_keeps_any_limit() -> None:
    """ "local, no price" is not an unknown price."""
    local = plan(models=("ollama:x",), max_cost=Decimal("0.01"))
    check_budget(local, estimate(local, 1))
    assert str(estimate(local, 1)).endswith("at no price")


def test_what_nobody_is_paid_is_said_apart_where_services_are_mixed() -> None:
    """Of the sum of a simulator and a service, the simulator's part: it stood there as money."""
    mixed = estimate(plan(models=("simulator:gpt-4.1", "holysheep:gpt-4.1"), parameters={"max_tokens": 100}), 1)
    assert mixed.usd == 2 * mixed.simulated_usd > 0
    assert str(mixed).endswith("at most about $0.011 and $0.011 (simulated)")
    alone = estimate(plan(models=("simulator:gpt-4.1",), parameters={"max_tokens": 100}), 1)
    assert alone.usd == alone.simulated_usd
    assert str(alone).endswith("at most about $0.011 (simulated)")


def test_what_was_spent_before_counts() -> None:
    """A resumed run may spend what is left of max_cost."""
    limited = plan(max_cost=Decimal("0.05"))
    found = estimate(limited, 1)
    check_budget(limited, found)
    with pytest.raises(SetupError, match="more than max_cost"):
        check_budget(limited, found, spent=Decimal("0.01"))


def test_a_budget_holds_what_runs() -> None:
    """Two of three fit at a time; the third begins when one that ends turns out cheaper."""
    budget = Budget(Decimal("0.05"), [Decimal("0.02")])
    assert [budget.reserve(0) for _ in range(3)] == [True, True, False]
    assert (budget.held, budget.left) == (Decimal("0.04"), Decimal("0.01"))
    budget.settle(0, Decimal("0.01"))
    assert budget.reserve(0)


def test_a_budget_learns_from_the_dearest_request() -> None:
    """A model that costs more than was foreseen is expected to go on so, those that run too; unknown is as foreseen."""
    budget = Budget(Decimal("0.10"), [Decimal("0.01")])
    assert [budget.reserve(0) for _ in range(2)] == [True, True]
    budget.settle(0, Decimal("0.04"))
    assert budget.held == Decimal("0.04")
    assert not budget.reserve(0)
    other = Budget(Decimal("0.02"), [Decimal("0.01")])
    for _ in range(2):
        assert other.reserve(0)
        other.settle(0, None)
    assert not other.reserve(0)


def test_where_the_cost_is_a_guess_the_first_request_goes_alone() -> None:
    """Nothing limits the answer: 20 at once passed the limit threefold before the first had shown what one costs."""
    budget = Budget(Decimal("1"), [Decimal("0.01")], is_limit=False)
    assert [budget.reserve(0) for _ in range(2)] == [True, False]
    budget.settle(0, Decimal("0.3"))
    assert [budget.reserve(0) for _ in range(3)] == [True, True, False]


def test_the_session_s_budget_counts_all_and_limits_too() -> None:
    """What other cells spend meanwhile is gone here as well."""
    session = SessionBudget(Decimal("0.05"), "session_budget")
    budget = Budget(None, [Decimal("0.02")], session=session)
    assert budget.reserve(0)
    session.add(Decimal("0.02"))
    assert not budget.reserve(0)
    budget.settle(0, Decimal("0.01"))
    assert session.spent == Decimal("0.03")


def test_no_limit_never_waits() -> None:
    """Without max_cost everything begins."""
    budget = Budget(None, [None])
    assert all(budget.reserve(0) for _ in range(3))
