"""Which pages show a panel, and in which of them the saved copy under it is still brought up to date."""

from __future__ import annotations

from collections import defaultdict


class Pages:
    """Views by page. JupyterLab brings a display up to date only in the page in which it was made.

    A page that is reloaded is another page, and says no goodbye: its views count on.
    """

    def __init__(self) -> None:
        self._views: defaultdict[str, set[str]] = defaultdict(set)
        self._fresh: set[str] = set()
        self._expected = 0
        self._is_copied = True

    def displayed(self, *, is_copied: bool = True) -> None:
        """The panel is displayed now, with a copy or not: the next view that appears is in the page that did it."""
        self._expected += 1
        self._is_copied = is_copied

    def ready(self, page: str, view: str = "") -> None:
        self._views[page].add(view)
        if self._expected:
            self._expected -= 1
            self._fresh.add(page)

    def gone(self, page: str, view: str = "") -> None:
        self._views[page].discard(view)
        if not self._views[page]:
            del self._views[page]

    @property
    def is_seen(self) -> bool:
        return bool(self._views)

    @property
    def stale(self) -> list[str]:
        return [page for page in self._views if page not in self._fresh] if self._is_copied else []
