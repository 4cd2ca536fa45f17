"""examples/axum_api.rs: a service that asks for itself."""

import signal

from world import HOST, ROOT, SECRET, TARGET, Doorward, Process, ask, free_port, until


def library(world, check):
    doorward = Doorward(world.directory / "library", world.provider, rules=ROOT / "policies")
    port = free_port()
    env = {
        "DOORWARD_URL": f"http://{HOST}:{doorward.ports['grpc']}",
        "DOORWARD_SECRET": SECRET,
        "LISTEN": f"{HOST}:{port}",
    }
    command = [str(TARGET / "debug/examples/axum_api")]
    service = Process("axum_api", command, world.directory / "library", env)
    forecast = world.bearer("forecast")
    read = lambda path, *headers: ask(port, "GET", path, list(headers))  # noqa: E731
    order = "/tenants/acme/orders/o-1"
    try:
        until("axum_api", lambda: read("/").status != 0)
        answer = read(order, forecast)
        decided = len(answer.json().get("decision_id", "")) == 36
        check("axum: an allowed request passes, with its decision", answer.status == 200 and decided, answer)
        answer = read("/tenants/other/orders/o-1", forecast)
        told = answer.json().get("code") == "nothing_permits"
        check("axum: a deny is one", answer.status == 403 and told, answer)
        answer = read(order)
        challenge = answer.headers.get("www-authenticate")
        check("axum: no token is challenged", answer.status == 401 and challenge == "Bearer", answer)
        answer = read(order, ("Authorization", forecast[1][:-4] + "AAAA"))
        check("axum: a forged token is refused", answer.status == 401, answer)
        answer = read("/tenants/acme/../other/orders/o-1", forecast)
        check("axum: a path of two readings is refused", answer.status == 400, answer)
        doorward.process.end(signal.SIGKILL)
        answer = read(order, forecast)
        check("axum: without a Doorward nothing passes", answer.status == 503, answer)
        doorward.start()
        answer = read(order, forecast)
        check("axum: and the first request after its return does", answer.status == 200, answer)
    finally:
        service.end()
        doorward.process.end()
