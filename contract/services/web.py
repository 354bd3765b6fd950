"""What the app hosts' nginx does for a shop: what is well, what is served from the release itself, how long an answer may take."""

from __future__ import annotations

from collections.abc import Iterator

from ..checks import Check, Unwanted, boolean, integer, line, listing, one_of, optional, text
from ..dataclass import dataclass
from ..fields import Contradiction, key

# No segment begins with a dot, and nothing in it means anything to nginx.
PATH = text(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", "a path like /up")
FOLDER = text(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", "a folder like assets, of letters, digits, dashes and underscores")
SITE_HEADER = "DR-Site"  # in each answer of the shop: the site whose Puma gave it
ORDERS = "orders"


def _status(value: object) -> str:
    words = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(words, str) or len(words) != 3 or not words.isascii() or not words.isdigit():
        raise Unwanted(STATUS.wanted)
    if not 200 <= int(words) < 500:
        raise Unwanted(STATUS.wanted)
    return words


STATUS = Check("an HTTP status from 200 to 499", _status)


@dataclass(frozen=True, kw_only=True)
class Health:
    """What a shop says of itself that is well, for whoever asks: the load balancer, `dr-host`, the proof, `drctl`."""

    health_path: str = key(
        PATH,
        "asked with GET whether the shop takes requests; it should touch neither database nor cache, or their loss takes out every app host. `/up` is "
        "Rails' own since 7.1",
        default="/up",
        why="no app host is taken for well, and nobody is served",
    )
    health_codes: tuple[str, ...] = key(
        listing(STATUS, at_least=1),
        "statuses by which it is well",
        default=("200",),
        why="nobody knows which answer is a good one",
    )
    health_text: str | None = key(
        optional(line),
        "a text that the answer holds where all is well. The load balancer goes by the status alone: nginx reads no body",
        default=None,
        why="an answer of somebody else would do",
    )
    proof: str = key(
        one_of("health", ORDERS),
        "how a move proves that the shop sells before its name leads there: `health`: by the health path, answered by the active region; `orders`: "
        "by a real order, of a shop that has `/products` and `/orders` like `examples/shop`",
        default="health",
        why="the name would lead to a shop that was not tried",
    )


@dataclass(frozen=True, kw_only=True)
class Keys(Health):
    """The part of `dr:app` that is nginx's."""

    inside_paths: tuple[str, ...] = key(
        listing(PATH),
        "what begins with one of these is asked by hosts of the pair alone, and is 404 for everybody else: pages that cost database, cache and bucket",
        default=("/health/deep",),
        why="everybody could ask for what is costly",
    )
    static_folders: tuple[str, ...] = key(
        listing(FOLDER),
        "folders of the release's `public/` whose files nginx serves itself, in both regions; what it does not find there the shop is asked for",
        default=("assets",),
        why="Puma serves every file",
    )
    static_age_s: int = key(
        integer(0, 31_536_000),
        "how long a browser keeps one of these files whose name bears no fingerprint; one that does (`app-1a2b3c4d.css`) is kept for a year and never asked "
        "for again",
        default=300,
        unit="s",
        why="browsers show files of the release before",
    )
    gzip: bool = key(
        boolean,
        "text among these files is compressed, and a `.gz` beside one is sent as it is. What the shop makes is not compressed by nginx: beside a secret, what "
        "a stranger can put into a page tells of it by its length (BREACH)",
        default=True,
        why="pages load more slowly",
    )
    cable_path: str | None = key(
        optional(PATH),
        "where websockets are taken (Action Cable); null: nowhere",
        default="/cable",
        why="websockets are refused",
    )
    cable_timeout_s: int = key(
        integer(10, 86_400),
        "how long a websocket may be silent before it is closed; Action Cable says something every 3 s",
        default=300,
        unit="s",
        why="websockets end while they are in use, or stay for ever",
    )
    read_timeout_s: int = key(
        integer(1, 3600),
        "how long the shop may be silent while it is asked: what takes longer is answered with 504",
        default=20,
        unit="s",
        why="slow pages fail, or customers wait for a shop that is stuck",
    )
    send_timeout_s: int = key(
        integer(1, 3600),
        "how long the shop may take nothing of what it is sent",
        default=60,
        unit="s",
        why="uploads fail, or hang",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Paths of which one would hide the other."""
        for name, path in (("health_path", self.health_path), ("cable_path", self.cable_path)):
            hidden = [it for it in self.inside_paths if path is not None and path.startswith(it)]
            if hidden:
                yield Contradiction(
                    name,
                    repr(path),
                    f"a path outside of inside_paths ({hidden[0]})",
                    "the entrance would answer with 404 to whoever has to ask for it",
                    "name another path, or make the entry of inside_paths longer",
                )
        if self.cable_path == self.health_path:
            yield Contradiction(
                "cable_path",
                repr(self.cable_path),
                "another path than health_path",
                "no websocket would be well, and no shop without one",
                "name the path at which Action Cable is mounted, or null",
            )

    @property
    def silence_s(self) -> int:
        """The longest time that a connection may say nothing and is still wanted: what stands before nginx must not be less patient."""
        return max(self.read_timeout_s, self.send_timeout_s, self.cable_timeout_s if self.cable_path else 0)
