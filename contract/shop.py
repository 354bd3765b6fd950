"""What is configured of the shop as customers know it, `dr:shop`: its names and its release."""

from __future__ import annotations

from collections.abc import Iterator

from .checks import listing, one_of, text
from .dataclass import dataclass
from .fields import Contradiction, key, part
from .hosts import INNER
from .services import certificate

PUBLIC_NAME = text(
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,}", "a domain name in lower case, without a dot at its end"
)
_RELEASE = text(
    r"(?!/)(?!.*\.\.)[\w./-]+", "the digest of a release, or a file or folder below the project, as a relative path"
)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """`dr:shop`."""

    host: str = key(
        PUBLIC_NAME, "the public name, always <dns.subdomain>.<dns.zone>", why="nginx does not know the shop's name"
    )
    release: str = key(
        _RELEASE,
        "what runs: the digest of a release that lies in the buckets of both regions (`drctl releases push`), or a file that `drctl build` made, or the "
        "folder of the Rails app, which goes as it is, without gems; both of these relative to the project (docs/releases.md)",
        why="there is no code to run",
        fix="name the release's digest, or the file or folder of the Rails app",
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

    acme: certificate.Keys | None = part(
        certificate.Keys,
        "what customers see is ordered of an ACME CA; absent: `tls.shop` of `dr:secrets`",
        optional=True,
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Names that mean two things, and names that nothing would be ordered for."""
        if self.acme is not None and self.aliases:
            yield Contradiction(
                "aliases",
                repr(self.aliases[0]),
                "none beside dr:shop.acme, which orders a certificate of `host` alone",
                "customers would be warned of the further name",
                "take the names out of the list, or dr:shop.acme out and give a certificate of all of them in dr:secrets tls.shop",
            )
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
