"""Pairs: for which prompts a finding holds, what was lost on which side, and when there is no verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from holystream_nb.measuring.figures.comparison import compare
from holystream_nb.measuring.figures.sequential import decided
from holystream_nb.measuring.figures.statistics import median, pooled
from holystream_nb.measuring.result import Result
from holystream_nb.measuring.values.record import Trial
from holystream_nb.measuring.values.schedule import schedule

Make = Callable[..., Trial]
Results = Callable[..., Result]

A, B = "simulator:a", "simulator:b"


@pytest.fixture
def paired(trial: Make, result: Results) -> Callable[..., Result]:
    """A result of two models: a row a prompt, a difference in ms a repeat; `fails` says which request of b has none."""

    def make(
        differences: Any,
        prompts: tuple[str, ...] = (),
        fails: Callable[[str, int], bool] | None = None,
        until_decided: str = "",
    ) -> Result:
        rows = np.atleast_2d(np.asarray(differences, dtype=float))
        trials = [
            trial(
                model,
                prompt=prompt,
                repeat=repeat,
                ttft=300 + (each if model == B else 0),
                error="Stalled" if fails and fails(model, prompt * rows.shape[1] + repeat) else "",
            )
            for prompt, row in enumerate(rows)
            for repeat, each in enumerate(row)
            for model in (A, B)
        ]
        texts = prompts or tuple(f"Prompt {number}" for number in range(len(rows)))
        return result(*trials, prompts=texts, repeats=rows.shape[1], until_decided=until_decided)

    return make


def test_each_prompt_once_is_a_finding_for_prompts_like_these(paired: Callable[..., Result]) -> None:
    """Independent pairs: the order statistics, and no word about which prompts."""
    values = np.round(np.random.default_rng(1).normal(-50, 10, (12, 1)), 3)
    found = paired(values).compare("a", "b")
    expected = median(values.ravel())
    assert (found.prompts, found.pairs, found.is_general) == (12, 12, True)
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high))
    assert str(found).endswith("times a's): more than noise.")


def test_repeats_of_few_prompts_are_a_finding_for_these(paired: Callable[..., Result]) -> None:
    """Twenty repeats of three prompts are no sixty prompts, and the sentence says so."""
    found = paired(np.random.default_rng(1).normal(-50, 10, (3, 20))).compare("a", "b")
    assert (found.prompts, found.pairs, found.is_general) == (3, 60, False)
    assert "(median of 60 pairs, 95 % interval " in str(found)
    assert str(found).endswith("more than noise, for these 3 prompts.")


def test_the_same_words_twice_are_one_prompt(paired: Callable[..., Result]) -> None:
    """Eight times the same question is one question."""
    found = paired(np.full((8, 1), -50.0), prompts=("Hello",) * 8).compare("a", "b")
    assert (found.prompts, found.is_general) == (1, False)
    assert str(found).endswith("more than noise, for this one prompt.")


def test_repeats_of_many_prompts_are_reckoned_with(paired: Callable[..., Result]) -> None:
    """From 20 prompts on the interval is of prompts: 10 of 25 lose, which 1,000 pairs would make sure and 25 do not."""
    levels = np.repeat([10.0, -10.0], [10, 15])[:, None]
    values = levels + np.random.default_rng(1).normal(0, 1, (25, 40))
    found = paired(values).compare("a", "b")
    (expected,) = pooled(list(values), [0.5])
    assert found.is_general
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
    assert "(median of 1,000 pairs of 25 prompts, 95 % interval " in str(found)
    assert not found.is_more_than_noise
    assert median(values.ravel()).high < 0


def test_too_few_pairs_have_a_star_and_no_verdict(paired: Callable[..., Result]) -> None:
    """The value and the ratio are there; no word for better, worse, or noise."""
    found = paired([[-50.0], [-60.0], [-40.0]]).compare("a", "b")
    assert (found.difference.value, found.difference.low) == (pytest.approx(-50), None)
    assert found.ratio.value == pytest.approx(250 / 300)
    assert str(found) == (
        "b's TTFT against a's: −50.0 ms* (median of 3 pairs, 0.833 times a's). "
        "* n too small for an interval: 6 pairs are needed."
    )
    assert not found.is_more_than_noise


def test_no_difference_is_neither_longer_nor_shorter(paired: Callable[..., Result]) -> None:
    """Ties on both sides: the two are the same."""
    found = paired(np.zeros((8, 1))).compare("a", "b")
    assert str(found).startswith(
        "b's TTFT is the same as a's (median of 8 pairs, 95 % interval 0 to 0 ms, 1.00 times a's)"
    )


def test_losses_on_one_side_are_a_warning(paired: Callable[..., Result]) -> None:
    """Where b fails 12 of 20 and a none, the 8 pairs left may be the easy ones; where both lose as many, no word."""
    values = np.full((20, 1), -50.0)
    one = paired(values, fails=lambda model, n: model == B and n < 12).compare("a", "b")
    assert (one.pairs, one.lost, one.lost_a, one.lost_b, one.losses_differ) == (8, 12, 0, 12, True)
    assert str(one).endswith(
        " 12 pairs are left out: a request failed, or the figure is unknown. WARNING: of 20 pairs a lost 0 and b 12: "
        "those left may be the easier ones."
    )
    both = paired(values, fails=lambda _, n: n < 6).compare("a", "b")
    assert (both.lost, both.lost_a, both.lost_b, both.losses_differ) == (6, 6, 6, False)
    assert "6 pairs are left out" in str(both)
    assert "WARNING" not in str(both)


def test_without_a_single_pair_that_is_said(paired: Callable[..., Result]) -> None:
    """Nothing is compared, and all are counted."""
    found = paired(np.full((3, 1), -50.0), fails=lambda *_: True).compare("a", "b")
    assert str(found).startswith("There is no pair to compare b's TTFT with a's. 3 pairs are left out")


def test_a_ratio_needs_figures_above_0(trial: Make, result: Results) -> None:
    """Where one is 0 there is no ratio of them all."""
    trials = [trial(model, repeat=n, ttft=0 if n == 3 and model == A else 300) for n in range(8) for model in (A, B)]
    found = result(*trials).compare("a", "b")
    assert (found.ratio.value, found.difference.value) == (None, 0)
    assert "times" not in str(found)


def test_a_verdict_on_answers_in_bursts_says_so(trial: Make, result: Results) -> None:
    """Something held a's first events back: TTFT and the decode rate carry the mark, whole answers do not."""
    held = [trial(A, repeat=i, ttft=400, gaps=(140,) * 5, events=[14] * 6) for i in range(8)]
    free = [trial(B, repeat=i, ttft=265, gaps=(10,) * 80) for i in range(8)]
    found = result(*held, *free)
    warned = " WARNING: the {} of a is of answers in bursts (†)."
    assert str(found.compare("a", "b")).endswith(warned.format("TTFT"))
    assert str(found.compare("a", "b", "decode_tokens_per_s")).endswith(warned.format("decode rate"))
    assert "bursts" not in str(found.compare("a", "b", "e2e_s"))
    assert str(found).count("(†)") >= 2


def test_a_run_that_stopped_when_decided_has_the_wider_interval(paired: Callable[..., Result]) -> None:
    """That of `decided`, and the sentence says that it is valid at any stop."""
    values = np.random.default_rng(1).normal(-50, 30, (40, 1))
    ordinary = compare(paired(values), A, B).difference
    made = paired(values, until_decided="e2e_s")
    found = compare(made, A, B)
    order = [block[0].prompt for block in schedule(made.plan)]
    expected = next(each for n in range(1, 41) if (each := decided(values.ravel()[order[:n]].tolist())).is_decided)
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
    assert "95 % interval at any stop " in str(found)
    assert found.difference.high - found.difference.low > ordinary.high - ordinary.low
    assert "8 pairs are needed" in str(compare(paired(values[:7], until_decided="ttft_ms"), A, B))
