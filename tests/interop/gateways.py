"""The gateways, each from its file in deploy/."""

import glob
import shutil
from pathlib import Path

from world import HOST, SECRET, TOOLS, Process, ask, free_port, render, until


class Gateway:
    """A running gateway. `body`: whether its denials carry our body; `refused`: how a gateway says
    that it could not ask."""

    name = ""
    file = ""
    body = True

    def __init__(self, directory, ports, changes=(), env=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.ports = {**ports, "front": free_port(), "admin": free_port()}
        self.changes = changes
        self.env = {"DOORWARD_SECRET": SECRET, **(env or {})}
        config = self.directory / Path(self.file).name
        config.write_text(render(self.file, self.ports, changes))
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
