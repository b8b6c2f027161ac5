"""Names of arms that fit: measured, shortened in the middle, still distinct; the words of a chart have them whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from .canvas import SMALL, inches, name
from .words import remember

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..figures.figures import Figures

MOST: Final = 12
"""Arms that one chart draws: more lines, rows and marks than these are told apart by nobody."""

_CUT: Final = "…"
_TAILS: Final = (0.5, 0.75, 0.35, 0.9, 0.15)
"""Parts of a shortened name that its end has, the best first: a version and a size stand last."""


def drawn(arms: Sequence[str]) -> tuple[str, ...]:
    """The arms that a chart draws: the plan's first twelve."""
    return tuple(arms[:MOST])


def undrawn(arms: Sequence[str]) -> str:
    """What a chart of more arms than it draws says."""
    rest = len(arms) - MOST
    return f"Drawn: the first {MOST} of {len(arms)}; the other {rest} are in the table." if rest > 0 else ""


def names(result: Figures, ax: Axes, share: float, size: float = SMALL) -> dict[str, str]:
    """How each arm is called on an Axes, in at most this share of its width."""
    whole = {arm: name(result, arm) for arm in result.arms}
    return called(whole, ax, share, size)


def called(whole: dict[str, str], ax: Axes, share: float, size: float = SMALL) -> dict[str, str]:
    """Names by arm, each shortened to this share of the Axes' width; the Axes remembers the whole ones."""
    short = shortened(list(whole.values()), lambda text: width(text, size), share * inches(ax) * 72)
    remember(ax, dict(zip(short, whole.values(), strict=True)))
    return dict(zip(whole, short, strict=True))


def width(text: str, size: float) -> float:
    """The width of a line in points, in the style's own font."""
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]


def widest(texts: Sequence[str], size: float = SMALL) -> float:
    """The width in points of the longest line of some texts."""
    return max((width(line, size) for text in texts for line in text.split("\n")), default=0.0)


def shortened(whole: Sequence[str], measure: Callable[[str], float], most: float) -> list[str]:
    """Each name in at most this width, as distinct as they were; first the path in the middle goes, then letters."""
    led = all(":" in name.split("/")[0] for name in whole)
    found = [next(form for form in _forms(name, measure, most, led) if measure(form) <= most) for name in whole]
    for tail in _TAILS:
        for index in _twins(found, whole):
            found[index] = _cut(whole[index], measure, most, tail)
    for number, index in enumerate(_twins(found, whole), 1):
        ending = f" ({number})"
        found[index] = _cut(whole[index], measure, most - measure(ending), _TAILS[0]) + ending
    return found


def _twins(short: Sequence[str], whole: Sequence[str]) -> list[int]:
    """Indices of names that have become alike."""
    counts = Counter(dict(zip(whole, short, strict=True)).values())
    return [index for index, each in enumerate(short) if counts[each] > 1]


def _forms(name: str, measure: Callable[[str], float], most: float, led: bool) -> list[str]:
    """Ways of saying a name, from the whole one to one that fits in any case; `led` by its provider or not."""
    _, slash, last = name.rpartition("/")
    provider, _, rest = name.partition(":") if led else ("", "", name)
    model = last if slash else rest
    forms = [f"{provider}:{_CUT}/{last}"] if slash and led else []
    forms += [f"{_CUT}/{last}"] if slash else [f"{_CUT}:{rest}"] if led else []
    return [name, *forms, _cut(model, measure, most, _TAILS[0])]


def _cut(name: str, measure: Callable[[str], float], most: float, tail: float) -> str:
    """The longest start and end of a name that fit, `tail` being the end's part."""
    if measure(name) <= most:
        return name
    for kept in range(len(name) - 1, 1, -1):
        end = min(kept - 1, max(1, round(kept * tail)))
        text = f"{name[: kept - end]}{_CUT}{name[-end:]}"
        if measure(text) <= most:
            return text
    return _CUT


def count(n: int, failed: int) -> str:
    """`n = 80, 3 failed`."""
    return f"n = {n}" + (f", {failed} failed" if failed else "")


def counts(result: Figures, arm: str) -> str:
    """The same of an arm."""
    trials = result.of(arm)
    return count(len(trials), sum(bool(trial.error) for trial in trials))
