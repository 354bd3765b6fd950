"""What is configured of the shop as customers know it, `dr:shop`: its names and its release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .checks import listing, one_of, text
from .fields import Contradiction, key
from .hosts import INNER

PUBLIC_NAME = text(
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,}", "a domain name in lower case, without a dot at its end"
)
_FOLDER = text(r"(?!/)(?!.*\.\.)[\w./-]+", "a folder below the project, as a relative path")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """`dr:shop`."""

    host: str = key(
        PUBLIC_NAME, "the public name, always <dns.subdomain>.<dns.zone>", why="nginx does not know the shop's name"
    )
    release: str = key(
        _FOLDER,
        "folder of the Rails app, relative to the project",
        why="there is no code to upload",
        fix="name the folder that holds the Rails app",
    )
    aliases: tuple[str, ...] = key(
        listing(PUBLIC_NAME),
        "further names of the shop, which the certificate of `dr:secrets` tls.shop has to name, too. Their records are yours: each a CNAME of `host`, and "
        "none ever has to be changed by a move",
        default=(),
        why="who asks for another name is refused",
    )
    aliases_answer: str = key(
        one_of("redirect", "serve"),
        "what a further name answers: `redirect`: 301 to the same page of `host`; `serve`: the shop itself, which is told the name that was asked",
        default="redirect",
        why="it is not clear what further names answer",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Names that mean two things."""
        seen = {self.host}
        for name in self.aliases:
            if name in seen or name.endswith(INNER):
                yield Contradiction(
                    "aliases",
                    repr(name),
                    f"each name once, not `host`, and none that ends in {INNER}",
                    "nginx would not know which of them is asked",
                    "take it out of the list",
                )
            seen.add(name)
