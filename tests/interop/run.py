"""Proves, with the real programs, what a gateway with Doorward behind it lets through."""

import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import envoy
import library
from gateways import Caddy, Envoy, EnvoyOverHttp, Nginx, Traefik
from world import TARGET, Busy, Doorward, Provider, Service, until

PASSED, FAILED = [], []
SPOOFED = [
    ("X-Auth-Subject", "root"),
    ("x-auth-subject", "admin"),
    ("X-Auth-Type", "Admin"),
    ("X-Auth-Issuer", "evil"),
    ("X-Auth-Obligations", "none"),
    ("X-Auth-Decision-Id", "1"),
]
TOLD = ["subject", "type", "issuer", "client", "scopes", "obligations", "decision-id"]


def check(name, holds, detail=""):
    (PASSED if holds else FAILED).append(name)
    print(f"{'ok  ' if holds else 'FAIL'} {name}{'' if holds else f': {detail!r}'}", flush=True)


class World:
    """Everything but the gateway."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.service = Service()
        self.provider = Provider(directory)
        self.doorward = Doorward(directory, self.provider)
        self.ports = {**self.doorward.ports, "service": self.service.port}
        self.gateways = 0

    def gateway(self, kind, changes=(), env=None, ports=None):
        self.gateways += 1
        directory = self.directory / f"{kind.name}-{self.gateways}"
        return kind(directory, {**self.ports, **(ports or {})}, changes, env)

    def bearer(self, client, scope="orders:read"):
        return ("Authorization", f"Bearer {self.provider.token(client, scope)}")

    def reached(self, ask):
        """The answer to `ask()`, and what the service saw of it."""
        self.service.seen.clear()
        answer = ask()
        return answer, list(self.service.seen)

    def end(self):
        self.doorward.process.end()
        self.provider.process.end()


def told(seen):
    """The identity headers that the service saw; a repeated one with all its values."""
    found = {}
    for name, value in seen["headers"]:
        if name.replace("_", "-").startswith("x-auth-"):
            found.setdefault(name.replace("_", "-").removeprefix("x-auth-"), []).append(value)
    return found


def allows(world, gateway):
    name = gateway.name
    clerk = world.bearer("clerk")
    answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1?x=1", [clerk]))
    check(f"{name}: a clerk reads an order", answer.status == 200 and len(seen) == 1, answer)
    headers = told(seen[0]) if seen else {}
    expected = {
        "subject": ["clerk"], "type": ["User"], "issuer": ["corp"], "client": ["clerk"],
        "scopes": ["orders:read"], "obligations": ["redact=email"],
    }  # fmt: skip
    found = {fact: headers.get(fact) for fact in expected}
    check(f"{name}: the service is told who asks", found == expected, headers)
    check(f"{name}: and by which decision", len(headers.get("decision-id", [""])[0]) == 36, headers)
    path = seen[0]["path"] if seen else ""
    check(f"{name}: the path arrives as it was decided", path == "/orders/o-1?x=1", path)

    sent = lambda: gateway.ask("POST", "/pages/public", body=b"hello")  # noqa: E731
    answer, seen = world.reached(sent)
    body = seen[0]["body"] if seen else ""
    check(f"{name}: a body arrives whole", (answer.status, body) == (200, "hello"), answer)


def removes_spoofed_headers(world, gateway):
    name = gateway.name
    clerk = world.bearer("clerk")
    answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1", [clerk, *SPOOFED]))
    headers = told(seen[0]) if seen else {}
    honest = headers.get("subject") == ["clerk"] and headers.get("type") == ["User"]
    once = all(len(headers.get(fact, [])) == 1 for fact in TOLD)
    check(f"{name}: spoofed identity is overwritten, once each", honest and once, headers)

    answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public", SPOOFED))
    headers = told(seen[0]) if seen else {"not": "reached"}
    empty = all(value == "" for fact, it in headers.items() for value in it if fact != "decision-id")
    spoofed = [value for _, value in SPOOFED]
    gone = not any(value in spoofed for it in headers.values() for value in it)
    check(f"{name}: and gone where nobody is known", empty and gone, (answer, headers))

    hidden = [("X_Auth_Subject", "root"), ("x_auth-type", "Admin")]
    answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public", hidden))
    through = [value for it in seen for values in told(it).values() for value in values]
    blocked = "root" not in through and "Admin" not in through
    check(f"{name}: underscores do not hide it", blocked, (answer, seen))

    hop = [clerk, ("Connection", "close, X-Auth-Subject"), *SPOOFED]
    answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1", hop))
    honest = all(told(it).get("subject") == ["clerk"] for it in seen)
    check(f"{name}: a hop-by-hop header does not drop it", honest, (answer, seen))


def denies(world, gateway):
    name = gateway.name
    visitor, manager = world.bearer("visitor"), world.bearer("manager")
    clerk = world.bearer("clerk")

    def refused(what, method, path, headers, status, **body):
        answer, seen = world.reached(lambda: gateway.ask(method, path, headers))
        check(f"{name}: {what}", answer.status == status and not seen, answer)
        if gateway.body and body:
            found = {key: answer.json().get(key) for key in body}
            check(f"{name}: {what}, with its body", found == body, answer)
        return answer

    refused("no role, no order", "GET", "/orders/o-1", [visitor], 403, code="nothing_permits")
    answer = refused(
        "a forbid says why", "GET", "/orders/closed", [clerk], 403, code="forbidden",
        detail="The books of this order are closed.", advice="Ask the auditors.",
    )  # fmt: skip
    if gateway.body:
        kind = answer.headers.get("content-type")
        check(f"{name}: as problem details", kind == "application/problem+json", answer)
        same = answer.json().get("decision_id") == answer.headers.get("doorward-decision-id")
        check(f"{name}: with the id of the decision", same, answer)
    answer = refused("cancelling needs more", "DELETE", "/orders/o-1", [manager], 401)
    challenge = answer.headers.get("www-authenticate", "")
    check(f"{name}: a second factor is asked for", "acr_values=\"urn:acr:mfa\"" in challenge, answer)
    refused("no route, no way", "GET", "/elsewhere", [clerk], 403)

    good = clerk[1]
    signed, signature = good.rsplit(".", 1)
    forged = f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    for what, headers, status, error in [
        ("no token", [], 401, ""),
        ("a forged token", [("Authorization", forged)], 401, "invalid_token"),
        ("a broken token", [("Authorization", "Bearer a.b")], 401, "invalid_token"),
        ("another scheme", [("Authorization", "Basic dTpw")], 401, ""),
    ]:
        answer = refused(what, "GET", "/orders/o-1", headers, status)
        challenge = answer.headers.get("www-authenticate", "")
        right = challenge.startswith("Bearer") and f'error="{error}"' in challenge + 'error=""'
        check(f"{name}: {what} is challenged", right and ("error" in challenge) == bool(error), answer)
    refused("a path of two readings", "GET", "/orders/o-1;x=1", [clerk], gateway.two_readings)
    twice = [clerk, ("Authorization", good)]
    answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1", twice))
    refused = answer.status in (400, 401, 403, 500) and not seen
    check(f"{name}: two tokens are none", refused, answer)


def withstands_failures(world, gateway):
    name = gateway.name
    clerk = world.bearer("clerk")
    read = lambda: gateway.ask("GET", "/orders/o-1", [clerk])  # noqa: E731

    def interrupted(then):
        """A request that Doorward has received and cannot answer."""
        world.service.seen.clear()
        world.doorward.process.stop()
        found = []
        asking = threading.Thread(target=lambda: found.append(read()))
        asking.start()
        time.sleep(0.2)
        then()
        asking.join(timeout=10)
        return (found or [None])[0], list(world.service.seen)

    passed = []

    def stall():
        time.sleep(1.2)
        passed.extend(world.service.seen)
        world.doorward.process.send(signal.SIGCONT)

    # A gateway that waits longer than that gets its answer then.
    answer, _ = interrupted(stall)
    check(f"{name}: a stalled Doorward lets nothing through", not passed, answer)
    answer, seen = interrupted(lambda: world.doorward.process.end(signal.SIGKILL))
    refused = answer is not None and answer.status == gateway.gone
    check(f"{name}: nor one killed in the middle of a request", refused and not seen, answer)
    answer, seen = world.reached(read)
    refused = answer.status == gateway.gone
    check(f"{name}: nor one that is gone", refused and not seen, answer)
    world.doorward.start()
    try:
        until("the way through", lambda: read().status == 200)
        check(f"{name}: and when it is back, so is the service", True)
    except TimeoutError as why:
        check(f"{name}: and when it is back, so is the service", False, why)


def refuses_the_undecidable(world, kind):
    """A host that no bundle is for, before a Doorward of its own."""
    host = '[bundles.shop]\npath = "rules"\nhosts = ["shop.example"]\n'
    directory = world.directory / f"hosts-{kind.name}"
    doorward = Doorward(directory, world.provider, bundle="", more=host)
    gateway = world.gateway(kind, ports=doorward.ports)
    try:
        answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public"))
        check(f"{kind.name}: a host of ours passes", answer.status == 200, answer)
        other = [("Host", "other.example")]
        answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public", other))
        refused = answer.status == gateway.undecided and not seen
        check(f"{kind.name}: a host of nobody does not", refused, answer)
    finally:
        gateway.end()
        doorward.process.end()


def reloads(world, gateway):
    """New rules count as soon as they are whole; broken ones never."""
    name = gateway.name
    file = world.doorward.rules / "rules.cedar"
    rules = file.read_text()
    read = lambda: gateway.ask("GET", "/pages/public").status  # noqa: E731
    check(f"{name}: a page is open", read() == 200)
    try:
        file.write_text(rules + '@id("closed") forbid (principal, action == Action::"ReadPage", resource);\n')
        until("the new rules", lambda: read() != 200)
        answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public"))
        check(f"{name}: a new rule closes it", answer.status == 403 and not seen, answer)
        file.write_text(rules + "forbid (principal, action,")
        until("a refusal of broken rules", lambda: world.doorward.readiness().json()["degraded"])
        answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public"))
        check(f"{name}: broken rules do not open it", answer.status == 403 and not seen, answer)
    finally:
        file.write_text(rules)
    until("the old rules", lambda: read() == 200)
    check(f"{name}: the rules of before open it again", True)


def refuses_overload(world, kind, changes=(), what=""):
    """A Doorward that has one place, taken by a question whose issuer is silent."""
    name = f"{kind.name}{what}"
    directory = world.directory / f"overload-{name.replace(' ', '-')}"
    with Busy(directory, world.provider) as busy:
        gateway = world.gateway(kind, changes, ports=busy.ports)
        try:
            answer = gateway.ask("GET", "/pages/public")
            check(f"{name}: with a place left a page is read", answer.status == 200, answer)
            with busy.taken():
                answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public"))
            refused = answer.status == gateway.overloaded and not seen
            check(f"{name}: with none left nothing gets through", refused, answer)
        finally:
            gateway.end()


def run(world, kind):
    refuses_the_undecidable(world, kind)
    refuses_overload(world, kind)
    gateway = world.gateway(kind)
    try:
        for part in (allows, removes_spoofed_headers, denies, reloads, withstands_failures):
            part(world, gateway)
    finally:
        gateway.end()


def main(wanted):
    if not (TARGET / "debug/doorward").exists():
        sys.exit("build first: cargo build --bins --examples")
    kinds = [Envoy, EnvoyOverHttp, Nginx, Caddy, Traefik]
    (TARGET / "interop").mkdir(parents=True, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="run-", dir=TARGET / "interop")
    world = World(directory)
    try:
        parts = [(kind.name, lambda kind=kind: run(world, kind)) for kind in kinds]
        alone = [*(("envoy", part) for part in envoy.PARTS), ("axum", library.library)]
        parts += [(name, lambda part=part: part(world, check)) for name, part in alone]
        open_door = [("failure_mode_allow: false", "failure_mode_allow: true")]
        for kind in (Envoy, EnvoyOverHttp):
            failing_open = lambda kind=kind: refuses_overload(world, kind, open_door, ", failing open")  # noqa: E731
            parts.append((kind.name, failing_open))
        for name, part in parts:
            if wanted and name not in wanted:
                continue
            try:
                part()
            except Exception:  # noqa: BLE001 - one broken part must not hide the others
                traceback.print_exc()
                check(f"{name}: every part runs to its end", False)
    finally:
        world.end()
    if FAILED:
        print(f"\nlogs are in {directory}")
    print(f"\n{len(PASSED)} passed, {len(FAILED)} failed")
    return 1 if FAILED or not PASSED else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
