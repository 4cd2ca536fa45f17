"""The processes of one run: an OpenID provider, Doorward, and a service that tells what it was sent."""

import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
TOOLS = ROOT / "target/tools"
SECRET = "interop-secret"
HOST = "127.0.0.1"
SILENT = "https://silent.example/"

# The ports that the files of deploy/ name, by what listens there.
DEPLOYED = {"front": 8000, "service": 9000, "grpc": 9191, "http": 8181, "admin": 9901}


given_out = set()


def free_port():
    """One that nothing listens on, and that was not given out before."""
    while True:
        with socket.socket() as it:
            it.bind((HOST, 0))
            port = it.getsockname()[1]
        if port not in given_out:
            given_out.add(port)
            return port


def until(what, ready, seconds=15):
    """Waits until `ready()` is true; a refused connection is not ready."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"{what} is not ready after {seconds} s")


class Process:
    """A program with its log; ended by its own process id."""

    def __init__(self, name, command, directory, env=None):
        self.log = Path(directory) / f"{name}.log"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                command, cwd=directory, stdout=log, stderr=log, env={**os.environ, **(env or {})}
            )

    def send(self, number):
        self.popen.send_signal(number)

    def stop(self):
        """Stops it where it is, and returns once every one of its threads stands still."""
        self.send(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.popen.pid}/task")
        state = lambda task: (task / "stat").read_text().rsplit(")", 1)[1].split()[0]  # noqa: E731
        until("a stopped program", lambda: all(state(task) == "T" for task in tasks.iterdir()))

    def end(self, number=signal.SIGTERM):
        if self.popen.poll() is None:
            self.popen.send_signal(number)
            try:
                self.popen.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Answer:
    """What a client got."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:300]!r}"


def ask(port, method, path, headers=(), body=None, timeout=5):
    """One request; the path and the headers go out as they stand, repeated names too."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.putrequest(method, "/", skip_host=True, skip_accept_encoding=True)
        # `putrequest` refuses what these tests must send.
        connection._buffer[0] = f"{method} {path} HTTP/1.1".encode("latin-1")
        sent = list(headers)
        if not any(name.lower() == "host" for name, _ in sent):
            sent.insert(0, ("Host", "shop.example"))
        if body is not None:
            sent.append(("Content-Length", str(len(body))))
        for name, value in sent:
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Service:
    """The service behind the gateways: it answers 200 with what it was sent, as JSON."""

    def __init__(self):
        service = self
        self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode("latin-1")
                sent = {
                    "method": self.command,
                    "path": self.path,
                    "headers": [[name.lower(), value] for name, value in self.headers.items()],
                    "body": body,
                }
                service.seen.append(sent)
                told = json.dumps(sent).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(told)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Provider:
    """The real OpenID provider."""

    def __init__(self, directory):
        self.port = free_port()
        self.issuer = f"http://{HOST}:{self.port}"
        env = {"NODE_PATH": str(TOOLS / "interop/node_modules")}
        command = ["node", str(HERE / "provider.mjs"), str(self.port)]
        self.process = Process("provider", command, directory, env)
        until("the provider", lambda: ask(self.port, "GET", "/jwks").status == 200)
        self.keys = ask(self.port, "GET", "/jwks").body

    def token(self, client, scope="orders:read"):
        basic = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope})
        headers = [
            ("Authorization", f"Basic {basic}"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ]
        return ask(self.port, "POST", "/token", headers, form.encode()).json()["access_token"]


class Doorward:
    """The server under test, with its own copy of the rules."""

    def __init__(self, directory, provider, bundle='bundle = "rules"\n', more="", rules=HERE / "rules"):
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.ports = {name: free_port() for name in ("grpc", "http", "probe")}
        self.rules = self.directory / "rules"
        shutil.copytree(rules, self.rules)
        (self.directory / "keys.json").write_bytes(provider.keys)
        listen = "".join(f'{name} = "{HOST}:{port}"\n' for name, port in self.ports.items())
        # Nobody asks there; the usual port is that of another one.
        listen += f'admin = "{HOST}:{free_port()}"\n'
        (self.directory / "doorward.toml").write_text(
            f'{bundle}data = "data"\n[listen]\n{listen}'
            f'[[issuer]]\nname = "corp"\nissuer = "{provider.issuer}"\n'
            'audiences = ["orders-api"]\njwks_file = "keys.json"\n'
            '[[caller]]\nname = "gateway"\nmay = ["check", "gateway"]\n'
            f'token_sha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"\n'
            + more
        )
        self.process = None
        self.start()

    def start(self):
        command = [str(TARGET / "debug/doorward"), "serve", "--config", "doorward.toml"]
        self.process = Process("doorward", command, self.directory)
        until("doorward", lambda: self.readiness().status == 200)

    def readiness(self):
        return ask(self.ports["probe"], "GET", "/readyz", [("Host", HOST)])

    def ready_digest(self):
        return self.readiness().json()["bundles"][0]["digest"]

    def log(self):
        return self.process.log.read_text(errors="replace")


class Busy(Doorward):
    """A Doorward with one place for questions, which a question about a silent issuer's token takes."""

    def __init__(self, directory, provider):
        self.silent = socket.create_server((HOST, 0))
        port = self.silent.getsockname()[1]
        limits = "[limits]\nchecks = 1\ndeadline_ms = 30000\n"
        issuer = (
            f'[[issuer]]\nname = "silent"\nissuer = "{SILENT}"\naudiences = ["orders-api"]\n'
            f'jwks_url = "http://{HOST}:{port}/keys"\nallow_http_loopback = true\n'
            f'allow_addresses = ["{HOST}/32"]\n'
        )
        rules = Path(f"{directory}-rules")
        shutil.copytree(HERE / "rules", rules)
        bundle = (rules / "bundle.toml").read_text()
        # With a second issuer, a rule must say whose subjects it is for.
        user = 'type = "User"\n'
        (rules / "bundle.toml").write_text(bundle.replace(user, user + 'issuers = ["corp"]\n', 1))
        super().__init__(directory, provider, more=limits + issuer, rules=rules)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.end()
        self.silent.close()

    @contextlib.contextmanager
    def taken(self):
        """While the place is taken."""
        part = lambda it: base64.urlsafe_b64encode(json.dumps(it).encode()).decode().rstrip("=")  # noqa: E731
        now = int(time.time())
        claims = {
            "iss": SILENT, "aud": "orders-api", "sub": "a", "client_id": "c", "jti": "j",
            "iat": now, "exp": now + 60,
        }  # fmt: skip
        header = {"alg": "RS256", "typ": "at+jwt", "kid": "k"}
        token = f"{part(header)}.{part(claims)}.{'A' * 342}"
        connection = http.client.HTTPConnection(HOST, self.ports["http"], timeout=60)
        stated = {"Method": "GET", "Host": "shop.example", "Uri": "/pages/public"}
        headers = {f"X-Forwarded-{name}": value for name, value in stated.items()}
        headers |= {"X-Doorward-Caller": SECRET, "Authorization": f"Bearer {token}"}
        connection.request("GET", "/forward-auth/caddy", headers=headers)
        metrics = lambda: ask(self.ports["probe"], "GET", "/metrics", [("Host", HOST)]).body  # noqa: E731
        until("a taken place", lambda: b'doorward_queue_depth{queue="checks"} 1\n' in metrics())
        try:
            yield
        finally:
            connection.close()


def render(file, ports, changes=()):
    """A file of deploy/ with this run's ports, and with `changes` that must apply."""
    text = (ROOT / "deploy" / file).read_text()
    for before, after in changes:
        if before not in text:
            raise ValueError(f"deploy/{file} has no `{before}`")
        text = text.replace(before, after)
    by_number = {str(number): str(ports[name]) for name, number in DEPLOYED.items() if name in ports}
    return re.sub(r"\b(\d{4})\b", lambda it: by_number.get(it[1], it[1]), text)
