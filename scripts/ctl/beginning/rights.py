"""The two consumer keys of the OVHcloud API: what each is for, and whether it may all of that. Asked of the API itself, before any call is made with them."""

from __future__ import annotations

from contract.access import Ovh
from contract.beginning import Answers
from contract.consumer_key import Account, Beginning, Rule, beginning, lacking, rules
from contract.errors import Failed
from contract.names import BUCKETS, bucket_name
from contract.sites import SITES
from scripts.clients.ovh import OvhApi
from scripts.ctl.beginning import account
from scripts.ctl.beginning.credentials import INIT_KEY, Credentials

PROGRAMS_KEY = "OVH_CONSUMER_KEY"
ANSWER_S = 20.0


def wanted_rules(answers: Answers) -> tuple[list[Rule], list[Rule]]:
    """Access rules of the program's consumer key, and of the one by which a beginning is made."""
    buckets = {
        answers.storage_region(site): tuple(
            bucket_name(answers.project, answers.service_name, site, kind) for kind in BUCKETS
        )
        for site in SITES
    }
    shop = Account(service_name=answers.service_name, zone=answers.zone, buckets=buckets, protect=answers.protect)
    begun = Beginning(
        service_name=answers.service_name,
        zone=answers.zone,
        third=answers.third_project,
        regions=tuple(answers.storage_region(site) for site in SITES),
        third_region=answers.witness.storage_region,
        buckets=(answers.witness_bucket, answers.state_bucket, *filter(None, [answers.witness.page_bucket])),
    )
    return rules(shop), beginning(begun)


def api(answers: Answers, credentials: Credentials, consumer_key: str) -> OvhApi:
    """The OVHcloud API by one of the two keys."""
    told = Ovh(
        endpoint=answers.asked.ovh,
        application_key=credentials.application_key,
        application_secret=credentials.application_secret,
        consumer_key=consumer_key,
    )
    return OvhApi(told, answer_s=ANSWER_S)


def judge(answers: Answers, credentials: Credentials) -> tuple[list[str], list[str]]:
    """What stands against both keys, and what should be known of them."""
    same = credentials.maker == credentials.consumer_key
    against, warnings = list[str](), list[str]()
    for whose, key, wanted in zip(
        (PROGRAMS_KEY, PROGRAMS_KEY if same else INIT_KEY),
        (credentials.consumer_key, credentials.maker),
        wanted_rules(answers),
        strict=True,
    ):
        try:
            held = account.routes(api(answers, credentials, key))
        except Failed as error:
            against.append(
                f"{whose}: cannot be used ({error}); no bucket and no record can be made; make a key, and export it"
            )
            continue
        if held is None:
            warnings.append(
                f"{whose}: nobody says what it may ask, wanted all that `drctl init --rights` prints; a run may stop in its middle; look at the key's rules"
            )
        elif missing := lacking(held, wanted):
            calls = ", ".join(f"{rule.method} {rule.path}" for rule in missing)
            against.append(
                f"{whose}: may not ask {calls}, wanted all that `drctl init --rights` prints; a run would stop in its middle; make a key with these rules"
            )
    if same:
        warnings.append(
            f"{PROGRAMS_KEY}: makes the witness and its users and goes into both stacks, wanted a key that may less there: whoever has it can open the "
            f"witness; give this command a key of its own in {INIT_KEY} (`drctl init --rights`)"
        )
    return against, warnings
