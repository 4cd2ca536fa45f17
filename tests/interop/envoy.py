"""What is Envoy's alone: its failure mode, paths as it rewrites them, its two forms of headers."""

import itertools
import textwrap

from gateways import Envoy, EnvoyOverHttp
from world import SECRET, Doorward

# A request target, and whether it names the public page for everyone who reads it.
PATHS = [
    ("/pages/public", True),
    ("/pages/public?x=/../private", True),
    ("/pages/%70ublic", True),
    ("/pages/private", False),
    ("//pages/public", None),
    ("/pages//public", None),
    ("/pages/private/../public", None),
    ("/pages/public/../private", None),
    ("/pages/%2e%2e/pages/public", None),
    ("/pages/x%2f..%2fpublic", None),
    ("/pages/./public", None),
    ("/pages/public/.", None),
    ("/pages/..%2fpages/public", None),
    ("/pages/x%2Fpublic", None),
    ("/pages/x%5Cpublic", None),
    ("/pages/public%00", None),
    ("/pages/public%", None),
    ("/pages/public%zz", None),
    ("/pages/%c0%af", None),
    ("/pages/%252e%252e/private", None),
    ("/pages/public;x=1", None),
    ("/pages/private;/../public", None),
    ("/pages/..;/pages/public", None),
    ("/pages/public#x", None),
    ("/pages/private#/../public", None),
    ("/pages\\public", None),
    ("/Pages/public", False),
    ("/pages/PUBLIC", False),
    ("/pages/public/", False),
    ("*", None),
    ("http://shop.example/pages/private", None),
    ("http://shop.example/pages/public", None),
]
PUBLIC = {"/pages/public", "/pages/public?x=/../private", "/pages/%70ublic"}


def paths(world, check):
    """Paths that can be read in two ways: whatever reaches the service names what was decided about."""
    own = [
        ("normalize_path: true", "normalize_path: false"),
        ("merge_slashes: true", "merge_slashes: false"),
        ("REJECT_REQUEST\n                # `X", "KEEP_UNCHANGED\n                # `X"),
    ]
    modes = [("normalising", []), ("as it came", own)]
    for kind, (mode, changes) in itertools.product((Envoy, EnvoyOverHttp), modes):
        gateway = world.gateway(kind, changes)
        name = f"{kind.name}, {mode}"
        try:
            for path, public in PATHS:
                answer, seen = world.reached(lambda: gateway.ask("GET", path))
                reached = [it["path"] for it in seen]
                if public is True:
                    holds = answer.status == 200 and len(reached) == 1
                elif public is False:
                    holds = answer.status in (401, 403) and not reached
                else:
                    through = answer.status == 200 and set(reached) <= PUBLIC
                    holds = through or (answer.status in (400, 401, 403, 404) and not reached)
                check(f"{name}: `{path}`", holds, (answer, reached))
            for headers in ([("Host", "A.Example.COM.:80")], [("Host", "a.example")]):
                answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public", headers))
                check(f"{name}: host {headers[0][1]}", answer.status == 200, answer)
            for host in ("user@a.example", "a b", "a.example:0", "a..b"):
                answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public", [("Host", host)]))
                check(f"{name}: host `{host}` is none", answer.status == 400 and not seen, answer)
        finally:
            gateway.end()


def failure_mode(world, check):
    """`failure_mode_allow` is for a lost transport; our own failures are answers."""
    open_door = ("failure_mode_allow: false", "failure_mode_allow: true")
    gateway = world.gateway(Envoy, [open_door])
    read = lambda *headers: gateway.ask("GET", "/pages/public", list(headers))  # noqa: E731
    try:
        check("envoy, failing open: what is allowed passes", read().status == 200)
        answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1", [world.bearer("visitor")]))
        check("envoy, failing open: a deny is one", answer.status == 403 and not seen, answer)
        many = [(f"x-{n}", "v") for n in range(90)]
        answer, seen = world.reached(lambda: read(*many))
        check("envoy, failing open: many headers pass", answer.status == 200, answer)
        answer, seen = world.reached(lambda: read(("Authorization", "Bearer " + "." * 40_000)))
        refused = answer.status in (400, 401, 413, 431) and not seen
        check("envoy, failing open: a huge token is refused", refused, answer)
        world.doorward.process.end()
        answer = read()
        check("envoy, failing open: without a Doorward its operator's word counts", answer.status == 200, answer)
        world.doorward.start()
    finally:
        gateway.end()
    host = '[bundles.shop]\npath = "rules"\nhosts = ["shop.example"]\n'
    other = Doorward(world.directory / "hosts", world.provider, "", host)
    gateway = world.gateway(Envoy, [open_door], ports=other.ports)
    try:
        check("envoy, failing open: a host of ours passes", gateway.ask("GET", "/pages/public").status == 200)
        ask = lambda: gateway.ask("GET", "/pages/public", [("Host", "other.example")])  # noqa: E731
        answer, seen = world.reached(ask)
        check("envoy, failing open: what we cannot decide is refused", answer.status == 503 and not seen, answer)
    finally:
        gateway.end()
        other.process.end()
    stranger = world.gateway(Envoy, [open_door], {"DOORWARD_SECRET": "not-" + SECRET})
    try:
        answer, seen = world.reached(lambda: stranger.ask("GET", "/pages/public"))
        check("envoy, failing open: an unknown caller is refused", answer.status == 403 and not seen, answer)
        same = answer.json().get("code") == "caller_unknown"
        check("envoy, failing open: and told so", same, answer)
    finally:
        stranger.end()


def raw_headers(world, check):
    """`encode_raw_headers` sends the other form of headers."""
    raw = ("failure_mode_allow: false", "failure_mode_allow: false\n                      encode_raw_headers: true")
    gateway = world.gateway(Envoy, [raw])
    try:
        clerk = world.bearer("clerk")
        answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1", [clerk]))
        check("envoy, raw headers: a clerk reads an order", answer.status == 200, answer)
        answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1", [clerk, clerk]))
        check("envoy, raw headers: two tokens are none", answer.status == 400 and not seen, answer)
        odd = ("X-Odd", "a\xffb")
        answer, seen = world.reached(lambda: gateway.ask("GET", "/orders/o-1", [clerk, odd]))
        check("envoy, raw headers: odd bytes elsewhere do no harm", answer.status == 200, answer)
    finally:
        gateway.end()


def underscores(world, check):
    """Where the proxy lets them pass, Doorward has them removed."""
    lenient = ("headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW")
    gateway = world.gateway(Envoy, [lenient])
    try:
        hidden = [("X_Auth_Subject", "root"), ("x_auth-type", "Admin"), ("x_other", "kept")]
        answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public", hidden))
        names = [name for name, _ in seen[0]["headers"]] if seen else []
        right = "x_other" in names and not any(name.startswith(("x_auth", "x-auth-sub")) for name in names)
        check("envoy, lenient: imitations with underscores are removed", right, (answer, names))
    finally:
        gateway.end()


def verified_claims(world, check):
    """Claims that Envoy's own `jwt_authn` verified stand in for a token."""
    filters = "                http_filters:\n"
    provider = textwrap.indent(
        textwrap.dedent(
            f"""\
            - name: envoy.filters.http.jwt_authn
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
                providers:
                  corp:
                    issuer: {world.provider.issuer}
                    audiences: [orders-api]
                    from_headers: [{{ name: x-token }}]
                    payload_in_metadata: jwt_payload
                    local_jwks: {{ inline_string: '{world.provider.keys.decode()}' }}
                rules:
                  - match: {{ prefix: / }}
                    requires: {{ requires_any: {{ requirements: [{{ provider_name: corp }}, {{ allow_missing: {{}} }}] }} }}
            """
        ),
        " " * 18,
    )
    gateway = world.gateway(Envoy, [(filters, filters + provider)])
    try:
        token = world.provider.token("clerk")
        read = lambda *headers: gateway.ask("GET", "/orders/o-1", list(headers))  # noqa: E731
        answer, seen = world.reached(lambda: read(("X-Token", token)))
        subject = dict(seen[0]["headers"]).get("x-auth-subject") if seen else None
        check("envoy, jwt_authn: verified claims count", answer.status == 200 and subject == "clerk", answer)
        answer, seen = world.reached(lambda: read(("X-Token", token), ("Authorization", "Bearer a.b.c")))
        check("envoy, jwt_authn: a bad token is bad all the same", answer.status == 401 and not seen, answer)
        answer, seen = world.reached(lambda: read())
        check("envoy, jwt_authn: no claims, no order", answer.status == 401 and not seen, answer)
    finally:
        gateway.end()


def route_bundles(world, check):
    """A route's `context_extensions` name its bundle."""
    written = "                          # typed_per_filter_config:"
    for bundle, status in [("default", 200), ("nope", 503)]:
        named = f"""\
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                              check_settings: {{ context_extensions: {{ bundle: {bundle} }} }}
"""
        gateway = world.gateway(Envoy, [(written, named + written)])
        try:
            answer, seen = world.reached(lambda: gateway.ask("GET", "/pages/public"))
            check(f"envoy: a route of bundle `{bundle}`", answer.status == status, answer)
        finally:
            gateway.end()


PARTS = [paths, failure_mode, raw_headers, underscores, verified_claims, route_bundles]
