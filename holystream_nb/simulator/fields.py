"""Typed access to the fields of a request's body."""

from __future__ import annotations

from typing import Any

from .refusals import Refusal


class Fields:
    """A JSON object whose nulls have been dropped; what is wrong is refused by its name, with a Refusal."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self.values.get(name)
        if value is None:
            raise Refusal(400, f"You must provide a `{name}` parameter.", param=name)
        return str(self._checked(name, value, isinstance(value, str) and bool(value), "a string"))

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.values.get(name, default)
        return bool(self._checked(name, value, isinstance(value, bool), "true or false"))

    def integer(self, name: str, least: int | None = None, most: int | None = None) -> int | None:
        """A whole number within bounds, or None."""
        value = self.values.get(name)
        if value is None:
            return None
        good = isinstance(value, int) and not isinstance(value, bool)
        self._checked(name, value, good, "an integer")
        return int(self._within(name, value, least, most))

    def number(self, name: str, least: float, most: float) -> None:
        """Check a number that the simulator does not use."""
        value = self.values.get(name)
        if value is not None:
            good = isinstance(value, int | float) and not isinstance(value, bool)
            self._within(name, self._checked(name, value, good, "a number"), least, most)

    def list(self, name: str, least: int = 0) -> list[Any]:
        """An array, empty where it is missing."""
        value = self.values.get(name, [])
        return list(
            self._checked(name, value, isinstance(value, list) and len(value) >= least, "an array that is not empty")
        )

    def object(self, name: str) -> dict[str, Any]:
        """An object, empty where it is missing."""
        value = self.values.get(name, {})
        return dict(self._checked(name, value, isinstance(value, dict), "an object"))

    @staticmethod
    def _checked(name: str, value: Any, good: bool, wanted: str) -> Any:
        if not good:
            raise Refusal(400, f"Invalid value for `{name}`: expected {wanted}.", param=name, code="invalid_type")
        return value

    @staticmethod
    def _within(name: str, value: Any, least: float | None, most: float | None) -> Any:
        if (least is not None and value < least) or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"between {least} and {most}"
            raise Refusal(400, f"Invalid value for `{name}`: expected {bounds}.", param=name, code="invalid_value")
        return value
