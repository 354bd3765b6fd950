"""Reading a tree of values so that every fault of it is reported at once: the operator's configuration, and what hosts and links are told.

A check turns a raw value into a typed one or raises `Unwanted` with what it wants; `Section.take` records the fault and goes on.
After a fault the value handed back is None whatever its type says: nothing built from it may be used before `Section.faults` is
seen to be empty.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Self, TypeVar, cast

from .checks import Check, Unwanted
from .errors import Fault
from .plain import shown

T = TypeVar("T")

HIDDEN = "(hidden)"
_MISSING, _UNKNOWN = "missing", "unknown"
_ABSENT = object()
# Of a key, a parameter, a region, a host.
_NAME = re.compile(r"[a-z_]{1,40}(\.[a-z_]{1,40})?|[a-z]{1,10}-[0-9](\.[a-z])?")
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}


class NoJson(str):
    """What should have been JSON, as it was found."""

    __slots__ = ()


class Section:
    """One mapping of the tree. Use as a context: on leaving, keys that nobody took become faults.

    `secret`: nothing of it is shown, nor a name in it that nobody knows, which may be a value in the wrong place. `hidden`: keys of which that is so.
    """

    mapping = "a mapping"  # what messages call one
    quotes = True  # whether messages may say what was found, in the words of a check

    def __init__(
        self, path: str, values: object, faults: list[Fault], *, secret: bool = False, hidden: Collection[str] = ()
    ) -> None:
        self.path = path
        self.faults = faults
        self.secret, self._hidden = secret, frozenset(hidden)
        self.readable = isinstance(values, Mapping)
        self._values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}
        self._taken: list[str] = []
        self._free: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self._refuse_unknown()

    def subject(self, key: str) -> str:
        """The key as the operator would type it."""
        joint = "" if self.path.endswith(":") else "."
        return f"{self.path}{joint}{self._named(key)}"

    def _named(self, key: str) -> str:
        return f"(key {self._free.index(key) + 1})" if self.secret and key in self._free else key

    def fault(self, key: str, wanted: str, consequence: str, remedy: str, found: str | None = None) -> None:
        """Records a fault of one key, or of one below it ("regions.a.mtu"). `found`: hidden where the value is."""
        hides = self.hides(key.partition(".")[0]) and found not in (HIDDEN, _MISSING, _UNKNOWN)
        self.faults.append(
            Fault(
                subject=self.subject(key),
                found=HIDDEN if found and hides else found or self.show(key),
                wanted=wanted,
                consequence=consequence,
                remedy=remedy,
            )
        )

    def hides(self, key: str) -> bool:
        """Whether the value of a key is nobody's business."""
        return self.secret or key in self._hidden

    def show(self, key: str, *, secret: bool = False) -> str:
        """The value as it may be printed."""
        if key not in self._values:
            return _MISSING
        return HIDDEN if self.hides(key) or secret else repr(self._values[key])

    def take(
        self, key: str, check: Check[T], why: str, fix: str = "", *, default: object = _ABSENT, secret: bool = False
    ) -> T:
        """The checked value of one key; `why` is what goes wrong without it, `fix` the remedy when it is not plain."""
        self._note(key)
        if key not in self._values and default is not _ABSENT:
            return cast(T, default)
        try:
            if key not in self._values:
                check(None)
            return check(self._typed(self._values.get(key), check))
        except Unwanted as error:
            if self.readable:
                quotes = self.quotes and not secret and not self.hides(key)
                wanted = str(error) if quotes else check.wanted
                self.fault(key, wanted, why, self._remedy(key, fix), self.show(key, secret=secret))
            return cast(T, None)

    def _typed(self, value: object, check: Check[T]) -> object:
        return check.typed(value) if isinstance(value, str) else value

    def _remedy(self, key: str, fix: str) -> str:
        return fix or f"set it in the stack file, or `pulumi config set --path '{self.subject(key)}' ...`"

    def section(self, key: str, why: str, fix: str = "see docs/configuration.md") -> Self:
        """A mapping below this one; absent or of another kind is one fault, not one for each key in it."""
        self._note(key)
        inner = self._values.get(key)
        if self.readable and not isinstance(inner, Mapping):
            wanted = f"{self.mapping} (not valid JSON)" if isinstance(inner, NoJson) else self.mapping
            self.fault(key, wanted, why, fix)
        return type(self)(self.subject(key), inner, self.faults, secret=self.hides(key))

    @property
    def clean(self) -> bool:
        """Whether nothing was found wrong in it, or below it, so far."""
        return self.readable and not any(
            fault.subject == self.path or fault.subject.startswith((f"{self.path}.",)) for fault in self.faults
        )

    def off(self, key: str) -> bool:
        """Whether the key says `off`, which YAML reads as false. Asked for, it is known."""
        return self.has(key) and (self._values[key] is False or self._values[key] in ("off", "false"))

    def empty(self, key: str) -> bool:
        """Whether an optional key is absent or null. Asked for, it is known."""
        return not self.has(key) or self._values[key] is None

    def names(self) -> list[str]:
        """The keys that are there, all of them known by being asked for: for mappings whose keys are free."""
        self._taken = [str(key) for key in self._values]
        self._free = list(self._taken)
        return list(self._taken)

    def below(self, key: str) -> Self:
        """A mapping that was read already, for faults that come to light later."""
        return type(self)(self.subject(key), self._values.get(key), self.faults, secret=self.hides(key))

    def has(self, key: str) -> bool:
        """Whether an optional key is there. Asked for, it is known."""
        self._note(key)
        return key in self._values

    def _note(self, key: str) -> None:
        if key not in self._taken:
            self._taken.append(key)

    def _refuse_unknown(self) -> None:
        self._free = [str(key) for key in self._values]
        for key in self._values:
            if key in self._taken:
                continue
            import difflib  # noqa: PLC0415 - only whoever misspells a key waits for it

            close = difflib.get_close_matches(str(key), self._taken, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(self._taken))}"
            self.fault(
                str(key), "a known key", "it would be ignored in silence", f"correct or remove it; {hint}", _UNKNOWN
            )


class Told(Section):
    """A part of a JSON document that another part of the product wrote. No value of it is ever shown: half of them are secrets."""

    mapping = "an object"
    quotes = False

    def _named(self, key: str) -> str:
        """A key that nobody knows, or that may be called anything, only where it can be nothing but a name."""
        return key if key not in self._free or _NAME.fullmatch(key) else f"(key {self._free.index(key) + 1})"

    def show(self, key: str, *, secret: bool = False) -> str:
        """What kind of value it is."""
        if key not in self._values:
            return "nothing"
        value = self._values[key]
        return "null" if value is None else _KINDS.get(type(value), type(value).__name__)

    def _typed(self, value: object, check: Check[T]) -> object:
        return value

    def _remedy(self, key: str, fix: str) -> str:
        return fix or "correct the document"


class Heard(Told):
    """A part of a document from outside, which another version may have written: what is not known in it is passed over. Its values are no secrets."""

    quotes = True

    def show(self, key: str, *, secret: bool = False) -> str:
        """The value, escaped and shortened."""
        return shown(self._values[key]) if key in self._values else "nothing"

    def _refuse_unknown(self) -> None:
        return None
