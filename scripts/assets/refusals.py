"""What a store's error answer means, and what the operator is told to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from .config import Endpoint
from .errors import STANDING, Kind, StoreError

KINDS: dict[str, Kind] = {
    "NoSuchKey": Kind.ABSENT,
    "NoSuchVersion": Kind.ABSENT,
    "NoSuchUpload": Kind.ABSENT,
    "NoSuchBucket": Kind.NO_BUCKET,
    "AccessDenied": Kind.DENIED,
    "AllAccessDisabled": Kind.DENIED,
    "InvalidAccessKeyId": Kind.EXPIRED,
    "SignatureDoesNotMatch": Kind.EXPIRED,
    "ExpiredToken": Kind.EXPIRED,
    "InvalidToken": Kind.EXPIRED,
    "RequestTimeTooSkewed": Kind.SKEW,
    "RequestExpired": Kind.SKEW,
    "AuthorizationHeaderMalformed": Kind.REGION,
    "PermanentRedirect": Kind.REGION,
    "IncorrectEndpoint": Kind.REGION,
    "IllegalLocationConstraintException": Kind.REGION,
    "PreconditionFailed": Kind.CONDITION,
    "ConditionalRequestConflict": Kind.CONDITION,
    "SlowDown": Kind.SLOW,
    "ServiceUnavailable": Kind.SLOW,
    "RequestTimeout": Kind.SLOW,
    "TooManyRequests": Kind.SLOW,
    "InternalError": Kind.SLOW,
    "OperationAborted": Kind.SLOW,
    "QuotaExceeded": Kind.FULL,
    "QuotaExceededException": Kind.FULL,
    "InsufficientStorage": Kind.FULL,
    "BadDigest": Kind.LYING,
    "XAmzContentSHA256Mismatch": Kind.LYING,
    "NotImplemented": Kind.UNSUPPORTED,
    "InvalidStorageClass": Kind.UNSUPPORTED,
    "AccessControlListNotSupported": Kind.UNSUPPORTED,
    "MethodNotAllowed": Kind.UNSUPPORTED,
}
STATUSES: dict[int, Kind] = {
    301: Kind.REGION,
    307: Kind.REGION,
    403: Kind.DENIED,
    404: Kind.ABSENT,
    408: Kind.SLOW,
    409: Kind.CONDITION,
    412: Kind.CONDITION,
    429: Kind.SLOW,
    500: Kind.SLOW,
    501: Kind.UNSUPPORTED,
    502: Kind.SLOW,
    503: Kind.SLOW,
    504: Kind.SLOW,
    507: Kind.FULL,
}
REMEDIES: dict[Kind, str] = {
    Kind.NO_BUCKET: "wanted an existing bucket; check its name and region, or create it, versioned",
    Kind.DENIED: "wanted the right to do this; check the policy of the key's user",
    Kind.EXPIRED: "wanted a key that the service knows and a secret that fits; renew the key in the configuration",
    Kind.REGION: "wanted the region that the endpoint serves; correct `region` in the configuration",
    Kind.FULL: "the bucket takes nothing more; raise the quota or free space, then run the same again: it goes on from here",
    Kind.SLOW: "the store is overloaded or has an outage; run the same again later: it goes on from here",
    Kind.LYING: "what arrived there is not what was sent; nothing was counted as copied, run the same again",
}


class _Answer(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


def refusal(
    endpoint: Endpoint, operation: str, answer: _Answer, body: bytes, *, skew: float | None, served: bool
) -> StoreError:
    """The error for an answer that is not 2xx; `body` is its XML, if any. `served`: another request of this run went through."""
    found = re.search(rb"<Code>([^<]+)</Code>", body)
    code = found.group(1).decode("ascii", "replace") if found else str(answer.status)
    retry_after = answer.headers.get("retry-after", "")
    kind = classify(code, answer.status, operation)
    wait = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    told = text(endpoint, operation, code, kind, skew=skew, served=served)
    return StoreError(doubted(kind, served), told, answer.status, wait, endpoint.name)


def classify(code: str, status: int, operation: str) -> Kind:
    """By the code where it is known, else by the status."""
    kind = KINDS.get(code) or STATUSES.get(status, Kind.OTHER)
    # A HEAD has no body, so a key that is wrong and a right that is missing look alike; a listing that finds nothing means the bucket.
    return Kind.NO_BUCKET if kind is Kind.ABSENT and operation == "list" else kind


def doubted(kind: Kind, served: bool) -> Kind:
    """Keys, clock and address were good a moment ago, so it is this request, or one half of the store: no reason to leave all other objects."""
    return Kind.DOUBTED if served and kind in STANDING else kind


def text(endpoint: Endpoint, operation: str, code: str, kind: Kind, *, skew: float | None, served: bool) -> str:
    """Subject, found, wanted, remedy. `kind`: as classified; `served`: as in `refusal`."""
    but = (
        "; it served this run before with the same keys, clock and address: if it stays so for one object alone, look at its name and at what "
        "stands before the store"
        if doubted(kind, served) is Kind.DOUBTED
        else ""
    )
    if kind is Kind.SKEW:
        apart = f"{abs(skew):.0f} s" if skew is not None else "more than the store allows"
        return (
            f"{endpoint.place}: {operation} refused ({code}): this machine's clock and the store's are {apart} apart, wanted less than 15 minutes; "
            f"set the clock (timedatectl status), nothing was deleted{but}"
        )
    remedy = REMEDIES.get(kind, "see the store's documentation for this code")
    return f"{endpoint.place}: {operation} refused ({code}), {remedy}{but}"
