"""The hosts' software, `dr-host`: what root runs on a machine of a site (docs/interfaces.md, section 2).

One process does one verb of one service: `dr-host <service> <verb> [--check] [--report] < desired.json > result.json`. It imports
the standard library and itself only; packages of Debian are imported inside the function that needs them.

How a service is added:

1. A module `scripts/host/<service>.py` with a table `VERBS: dict[str, Verb]` (class in `cli.py`), named in `cli.SERVICES`. A verb is a
   function `(call: Call) -> Result`; `call.document` is the parsed stdin, `call.layout` says where things live, `call.log` writes
   to stderr.
2. `converge` reads its document with `desired.Envelope.read(call.document, "<service>")`, makes a service object with the four methods
   of `plan.Service` - `facts()` reads and never fails, `plan(facts)` is pure, `apply(step)` changes one thing, `verify(facts)` returns
   the slow-changing facts - and returns `plan.converge(service, call)`. That takes care of `--check`, of order, of `changed`.
3. Whatever a plan may refuse is raised as `errors.Refused` from `plan`, so nothing was changed; everything else is `errors.Failed`.
   Messages come from `errors.say(subject=, found=, wanted=, consequence=, remedy=)`.
4. Files are `files.ManagedFile`, programs run through `commands.run`, units through `systemd.Units` (a seam for tests), waiting is
   `wait.until`. A service that must not start in the wrong place gets `systemd.guard_drop_in(unit, "<service>")` among its files
   and writes `rolefile.Role` before it starts.
"""
