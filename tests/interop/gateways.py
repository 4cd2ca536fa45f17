"""The gateways, each from its file in deploy/."""

import glob
import shutil
from pathlib import Path

from world import ROOT, SECRET, TOOLS, Process, ask, free_port, render, until


class Gateway:
    """A running gateway. `body`: whether its denials carry our body. `two_readings`, `undecided`,
    `overloaded` and `gone`: the status when a request is malformed, when we cannot decide, when we
    have too much to do, when nobody answers."""

    name = ""
    file = ""
    more = []
    body = True
    two_readings = 400
    undecided = 403
    overloaded = 429
    gone = 500

    def __init__(self, directory, ports, changes=(), env=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.ports = {**ports, "front": free_port(), "admin": free_port()}
        self.changes = changes
        self.env = {"DOORWARD_SECRET": SECRET, **(env or {})}
        config = self.directory / Path(self.file).name
        config.write_text(render(self.file, self.ports, changes))
        for more in self.more:
            (self.directory / Path(more).name).write_text(render(more, self.ports))
        self.process = Process(self.name, self.command(config), self.directory, self.env)
        until(self.name, self.ready)

    def ask(self, method, path, headers=(), **more):
        return ask(self.ports["front"], method, path, headers, **more)

    def ready(self):
        ask(self.ports["front"], "GET", "/")
        return True

    def end(self):
        self.process.end()


class Envoy(Gateway):
    name = "envoy"
    undecided = 503
    gone = 403
    file = "envoy/envoy.yaml"

    def command(self, config):
        [binary] = glob.glob(str(TOOLS / "gateways/lib/python3*/site-packages/envoy/_bin/envoy"))
        return [
            binary, "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warn",
        ]  # fmt: skip

    def ready(self):
        return ask(self.ports["admin"], "GET", "/ready").status == 200

    def stat(self, name):
        text = ask(self.ports["admin"], "GET", f"/stats?filter={name}$").body.decode()
        return int(text.rsplit(":", 1)[1]) if ":" in text else 0


class EnvoyOverHttp(Envoy):
    """The same with deploy/envoy/http_service.yaml in place of gRPC."""

    name = "envoy-http"
    undecided = 403

    def __init__(self, directory, ports, changes=(), env=None):
        text = (ROOT / "deploy" / self.file).read_text()
        grpc = text[text.index("                      grpc_service:") :]
        grpc = grpc[: grpc.index("                      # Closed:")]
        http2 = text[text.index("      typed_extension_protocol_options:") :]
        http2 = http2[: http2.index("      load_assignment:")]
        service = (ROOT / "deploy/envoy/http_service.yaml").read_text()
        ours = [(grpc, service), (http2, ""), ("port_value: 9191", "port_value: 8181")]
        super().__init__(directory, ports, [*ours, *changes], env)


class Nginx(Gateway):
    name = "nginx"
    file = "nginx/nginx.conf"
    body = False
    two_readings = 500
    overloaded = 403

    def command(self, config):
        secret = f'proxy_set_header X-Doorward-Caller "{self.env["DOORWARD_SECRET"]}";\n'
        (self.directory / "doorward-secret.conf").write_text(secret)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        ours = "daemon off; pid nginx.pid; error_log stderr;"
        return [nginx, "-p", str(self.directory), "-c", config.name, "-e", "stderr", "-g", ours]


class Caddy(Gateway):
    name = "caddy"
    gone = 502
    file = "caddy/Caddyfile"

    def command(self, config):
        return [str(TOOLS / "gateways/bin/caddy"), "run", "--config", str(config)]


class Traefik(Gateway):
    name = "traefik"
    file = "traefik/traefik.yml"
    more = ["traefik/service.yml"]

    def command(self, config):
        return [str(TOOLS / "gateways/bin/traefik"), f"--configFile={config}"]

    def ready(self):
        # Until its service is read, it answers 404.
        return ask(self.ports["front"], "GET", "/").status != 404
