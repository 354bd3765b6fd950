"""The steps of a beginning: buckets and users of the third region, the proof that the witness can be relied on, files, stacks, secrets.

The order is that in which nothing is ever lost: no secret is made before both stacks are there to keep it, and what the platform hands out once more when
it is asked (keys of S3 users) is kept nowhere until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from components.render.policy import page_policy, rules_policy, site_policy, witness_policy
from contract.beginning import Answers
from contract.dataclass import dataclass
from contract.errors import Partial
from contract.sites import SITES
from contract.witness import HOST_USERS, OPERATOR, USERS
from scripts.clients.bucket_rules import Forgetting, RuledBucket
from scripts.ctl.beginning import backend as backends
from scripts.ctl.beginning.account import Third
from scripts.ctl.beginning.backend import Backend
from scripts.ctl.beginning.credentials import Credentials
from scripts.ctl.beginning.plan import Step
from scripts.ctl.beginning.values import witness as witness_place
from scripts.ctl.beginning.world import World, outside, page_user, rules_user, state_user, witness_user
from scripts.ctl.stacks import configuration
from scripts.ctl.stacks.secrets import generate, host_names
from scripts.ctl.stacks.stack import Stack

LOCK_DAYS = 7  # of whatever is put at the witness, against everybody (docs/security.md)
STATES_DAYS = 90  # for which a state that was overwritten can be brought back
# Neither epochs nor trails nor sign-ins: those stay. A version cannot go before its lock has ended.
WITNESS_RULES = (
    Forgetting(name="heartbeats", prefix="heartbeats/", days=LOCK_DAYS + 1),
    Forgetting(name="probes", prefix="probe/", days=LOCK_DAYS + 1),
    # Of these the newest is all that anybody asks for, and each word of a run that lives is a version.
    Forgetting(name="runs", prefix="runs/", days=LOCK_DAYS + 1),
    Forgetting(name="checks", prefix="checks/", days=LOCK_DAYS + 1),
)
STATE_RULES = (Forgetting(name="old-states", prefix="", days=STATES_DAYS),)
KNOWN_S, LOOK_S = 120.0, 2.0  # until a store knows a fresh key, and between two looks


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the operator has said. `provider`: of Pulumi's secrets, a passphrase where empty."""

    answers: Answers
    credentials: Credentials
    folder: Path
    provider: str = ""


class Steps:
    """All of them. `tell`: for what is no step and should be known."""

    def __init__(self, wanted: Wanted, world: World, backend: Backend, tell: Callable[[str], None] = print) -> None:
        self._answers, self._credentials, self._folder = wanted.answers, wanted.credentials, wanted.folder
        self._world, self._backend, self._provider, self._tell = world, backend, wanted.provider, tell
        self._third: Third = world.third
        self._endpoint = witness_place(wanted.answers)["endpoint"]

    def all(self) -> Iterator[Step]:
        """In order. Raises DrError."""
        yield from self._buckets()
        yield from self._page()
        yield from self._people()
        yield self._proof()
        yield from self._files()
        yield from self._stacks()

    def warnings(self) -> Iterator[str]:
        """What a step will make that the secrets, which are there already, do not know."""
        if not any("dr:secrets" in self._own(site) for site in SITES):
            return
        for name in (witness_user(self._answers, user) for user in USERS):
            if not self._person(name).keys:
                yield (
                    f"user {name!r}: has no key any more, and the stacks hold the one it had, which opens nothing; a new one is made, and has to be put into "
                    "dr:secrets of both stacks (docs/security.md, Keys to the witness)"
                )
        page = page_user(self._answers)
        if page is not None and not self._person(page).keys:
            yield (
                f"user {page!r}: gets a key now, and the stacks hold none of it, wanted it in dr:secrets of both: the page for customers is written by nobody, "
                "and every run is refused until then (docs/status-page.md)"
            )

    # --- the third region

    def _buckets(self) -> Iterator[Step]:
        """A user that puts the buckets' rules comes first and goes last: as long as it is there, they may be missing."""
        answers, region = self._answers, self._third.region
        wanted: dict[str, tuple[int, tuple[Forgetting, ...]]] = {answers.witness_bucket: (LOCK_DAYS, WITNESS_RULES)}
        if self._backend.made:
            wanted[answers.state_bucket] = (0, STATE_RULES)
        begun = self._person(rules_user(answers)).number is not None
        new = [name for name in wanted if self._world.buckets.get(name) is None]
        ruled = not new and not begun
        policy = rules_policy(list(wanted))
        if not ruled:
            yield Step(
                what=f"user {rules_user(answers)!r}, until the buckets have their rules",
                there=False,
                act=partial(self._make_person, rules_user(answers), policy),
            )
        for name, (days, rules) in wanted.items():
            locked = f", what is put there is locked for {days} days" if days else ""
            yield Step(
                what=f"bucket {name} in {region}, versioned{locked}",
                there=name not in new and self._versioned(name),
                act=partial(self._make_bucket, name, days),
            )
            forgotten = ", ".join(f"{rule.prefix or 'all of it'} {rule.days} days" for rule in rules)
            yield Step(
                what=f"rules of {name}: old versions go ({forgotten})",
                there=ruled,
                act=partial(self._put_rules, name, rules),
            )
        if not ruled:
            yield Step(
                what=f"end of user {rules_user(answers)!r}, which is needed no more",
                there=False,
                act=self._remove_rules_user,
            )

    def _page(self) -> Iterator[Step]:
        """Without versions: it is written over all day long, and what has been is in it."""
        name = self._answers.witness.page_bucket
        if name is not None:
            yield Step(
                what=f"bucket {name} in {self._third.region}, for the page for customers",
                there=self._world.buckets.get(name) is not None,
                act=partial(self._make_page_bucket, name),
            )

    def _make_page_bucket(self, name: str) -> None:
        if self._third.bucket(name) is None:
            self._third.make_bucket(name, versioned=False)

    def _page_policy(self, bucket: str) -> str:
        """As wide as what is configured: `public` is nobody's answer."""
        watch = self._world.config.get("dr:monitoring") or {}
        return page_policy(bucket, public=(watch.get("status_page") or {}).get("public") is True)

    def _people(self) -> Iterator[Step]:
        policies = {
            witness_user(self._answers, user): witness_policy(self._answers.witness_bucket, user) for user in USERS
        }
        if self._backend.made:
            policies[state_user(self._answers)] = site_policy([self._answers.state_bucket])
        user, bucket = page_user(self._answers), self._answers.witness.page_bucket
        if user is not None and bucket is not None:
            policies[user] = self._page_policy(bucket)
        for name, policy in policies.items():
            yield Step(
                what=f"user {name!r} with its policy and a key",
                there=self._person(name).well(policy),
                act=partial(self._make_person, name, policy),
            )

    def _proof(self) -> Step:
        """Done until there are secrets: from then on each run of a fence does it."""
        done = all("dr:secrets" in self._own(site) for site in SITES)
        return Step(
            what=f"proof that bucket {self._answers.witness_bucket} takes no write twice (If-None-Match, If-Match)",
            there=done,
            act=self._prove,
        )

    def _versioned(self, name: str) -> bool:
        found = self._world.buckets.get(name)
        return found is not None and found.versioning is not None and found.versioning.status == "enabled"

    def _person(self, name: str) -> Any:
        return self._world.people[name]

    def _make_person(self, name: str, policy: str) -> None:
        self._third.make_person(self._third.people([name])[name], policy)

    def _make_bucket(self, name: str, lock_days: int) -> None:
        if self._third.bucket(name) is None:
            self._third.make_bucket(name, lock_days)
        else:
            self._third.keep_versions(name)

    def _put_rules(self, name: str, rules: tuple[Forgetting, ...]) -> None:
        if not self._ruled(rules_user(self._answers), name).forget(rules):
            self._tell(
                f"warning: the store of bucket {name} knows no rules of a lifecycle: old versions pile up there; look at its size from time to time"
            )

    def _remove_rules_user(self) -> None:
        name = rules_user(self._answers)
        self._third.remove(self._third.people([name])[name])

    def _prove(self) -> None:
        bucket = self._ruled(witness_user(self._answers, OPERATOR), self._answers.witness_bucket)
        bucket.probe()
        bucket.probe_match()

    def _ruled(self, user: str, bucket: str) -> RuledBucket:
        """A bucket by the key of a user, once the store knows that. Raises Partial."""
        keys = self._third.secret(self._third.people([user])[user])
        found, end = RuledBucket(self._third.place(self._endpoint, bucket, keys)), time.monotonic() + KNOWN_S
        while not found.reachable():
            if time.monotonic() > end:
                raise Partial(
                    f"key of user {user!r}: is not known to {self._endpoint} after {KNOWN_S:.0f} s, wanted it to be; what was made so far stays; run "
                    "the same again, "
                    "which goes on"
                )
            time.sleep(LOOK_S)
        return found

    # --- files

    def _files(self) -> Iterator[Step]:
        if self._backend.made:
            yield Step(
                what=f"file {backends.FILE} with the key to the state, mode 0600",
                there=self._state_file(),
                act=self._write_state_file,
            )
        project = self._folder / configuration.PROJECT
        same = configuration.shared_values(self._folder) == self._world.config
        yield Step(
            what=f"file {configuration.PROJECT}: what both regions share",
            there=same,
            act=lambda: configuration.write({project: configuration.project_text(self._folder, self._world.config)}),
        )
        for site in SITES:
            path = configuration.stack_file(self._folder, site)
            yield Step(
                what=f"file {path.name}: what region {site} has for itself",
                there=self._document(site) == self._wanted(site),
                act=partial(self._write_stack_file, site),
            )

    def _state_file(self) -> bool:
        path = self._folder / backends.FILE
        try:
            private = path.stat().st_mode & 0o077 == 0
            return (
                private and self._backend.reachable(self._world) and path.read_text() == self._backend.text(self._third)
            )
        except (OSError, UnicodeDecodeError):
            return False

    def _write_state_file(self) -> None:
        path = self._folder / backends.FILE
        path.unlink(missing_ok=True)  # whatever its mode was
        configuration.write({path: self._backend.text(self._third)}, mode=0o600)

    def _document(self, site: str) -> dict[str, Any]:
        path = configuration.stack_file(self._folder, site)
        return configuration.load(path) if path.exists() else {}

    def _own(self, site: str) -> Mapping[str, Any]:
        found = self._document(site).get("config")
        return found if isinstance(found, Mapping) else {}

    def _wanted(self, site: str) -> dict[str, Any]:
        """Its request stays where it has one: the shop may have been moved."""
        document, own = self._document(site), dict(self._own(site))
        own["dr:site"] = site
        own.setdefault("dr:failover_region", SITES[0])
        if not self._answers.rehearsal:
            own.pop("dr:lab", None)
        elif own.get("dr:lab") != "true":  # as pulumi spells it once it has written the file
            own["dr:lab"] = True
        return {**document, "config": own}

    def _write_stack_file(self, site: str) -> None:
        path = configuration.stack_file(self._folder, site)
        configuration.write({path: configuration.stack_text(self._wanted(site))})

    # --- stacks

    def _stack(self, site: str) -> Stack:
        return Stack(name=f"region-{site}", folder=self._folder, environment=self._backend.environment(self._third))

    def _stacks(self) -> Iterator[Step]:
        asked = self._backend.reachable(self._world)
        for site in SITES:
            yield Step(
                what=f"stack region-{site} at {self._backend.words()}",
                there=asked and self._stack(site).known(),
                act=partial(self._make_stack, site),
            )
        for site in SITES:
            yield Step(
                what=f"secrets of stack region-{site}: keys, certificates and passwords, the same for both",
                there="dr:secrets" in self._own(site),
                act=partial(self._keep_secrets, site),
            )

    def _make_stack(self, site: str) -> None:
        stack = self._stack(site)
        if not stack.known():
            stack.make(self._provider)

    def _keep_secrets(self, site: str) -> None:
        """Those that the other stack holds already, or new ones, which go into both by the step behind this one."""
        held = next((self._stack(each).secrets() for each in SITES if "dr:secrets" in self._own(each)), None)
        self._stack(site).keep_secrets(held if isinstance(held, Mapping) else self._secrets())

    def _secrets(self) -> dict[str, Any]:
        keys = {user: self._third.secret(person) for user, person in self._witness_people().items()}
        witness = {**keys[OPERATOR], "hosts": {user: keys[user] for user in HOST_USERS}}
        config = self._world.config
        aliases = config["dr:shop"].get("aliases", ())
        user = page_user(self._answers)
        page = self._third.secret(self._third.people([user])[user]) if user else None
        return generate(host_names(config), self._answers.host, outside(self._credentials, witness, page), aliases)

    def _witness_people(self) -> dict[str, Any]:
        names = {user: witness_user(self._answers, user) for user in USERS}
        found = self._third.people(names.values())
        return {user: found[name] for user, name in names.items()}
