"""The public page: what is configured of it (`dr:monitoring.status_page`)."""

from __future__ import annotations

from collections.abc import Mapping

from ..checks import boolean, integer, mapping, optional, text
from ..dataclass import dataclass
from ..fields import key

_LINE = text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,120}", "one line of text, 120 characters at most")
_BUCKET = text(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket name of 3 to 63 lower-case letters, digits, dots and dashes"
)
_ADDRESS = text(r"https?://[^\s\"'\\@]{1,500}", "an http or https URL without a user in it")
_NOBODY = "customers would see nothing, or not know what it is about"


@dataclass(frozen=True, kw_only=True)
class StatusPage:
    """`dr:monitoring.status_page`. Its key is `monitoring.status_page` of `dr:secrets` (docs/status-page.md)."""

    bucket: str = key(
        _BUCKET,
        "a bucket of its own in the third region, where the witness is; never the witness's",
        why="the page has no place",
    )
    public: bool = key(
        boolean,
        "whether anybody may read the page, by the object's ACL; the document that it is made from stays closed",
        default=False,
        why="it is not clear whether anybody may read it",
    )
    address: str | None = key(
        optional(_ADDRESS),
        "where customers read the page, as they are told it: both regions ask for it there without a key, each 10 s, and `StatusPageUnread` tells when neither "
        "is shown one of ours. Absent: nobody looks whether customers can read it",
        default=None,
        why="nobody would know that customers cannot read it",
    )
    title: str = key(_LINE, "what stands above it", default="Status of the shop", why=_NOBODY)
    contact: str | None = key(
        optional(_LINE),
        "where customers may turn: an https address, a mail address or any text",
        default=None,
        why=_NOBODY,
    )
    every_s: int = key(
        integer(15, 300),
        "how often each region writes it. It may be wrong for three times that and 90 s",
        default=30,
        unit="s",
        why="nobody knows how old the page may be",
    )
    locations: Mapping[str, str] = key(
        mapping(r"[ab]", _LINE),
        "what customers call the regions, like `{a: Gravelines, b: Strasbourg}`: the page says which one serves. Absent: it does not",
        default={},
        why=_NOBODY,
    )
