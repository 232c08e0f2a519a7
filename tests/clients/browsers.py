"""Browsers of scripted people, over HTTP/1.1 (requests) and over HTTP/2 (curl), with one interface. Imported by others."""
import json
import os
import subprocess
import tempfile
import uuid
from types import SimpleNamespace
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
import websocket

urllib3.disable_warnings()
NAME = "a browser of the tests"
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
CODE = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
PIN = "__Host-poolgate"
LIMIT = 120  # seconds


class Browser:
    """What both have in common."""

    def __init__(self, base):
        self.base = base

    def page(self, path, follow=True):
        return self.ask("GET", path, PAGE, follow=follow)

    def code(self, path, method="GET", body=None):
        headers = {**CODE, "Origin": self.base, "X-XSRFToken": self.xsrf(urlsplit(path).path)}
        return self.ask(method, path, headers, data=None if body is None else json.dumps(body))

    def log_in(self, user, password, next="/hub/home"):
        form = {"username": user, "password": password, "_xsrf": self.xsrf("/hub/")}
        return self.ask("POST", f"/hub/login?next={next}", PAGE, data=form)

    def xsrf(self, path):
        """The token that belongs to a path: the hub's and each person's server have one each."""
        found = [cookie for cookie in self.cookies() if cookie.name == "_xsrf" and path.startswith(cookie.path)]
        return max(found, key=lambda cookie: len(cookie.path)).value if found else ""

    def cookie_line(self, path):
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies() if path.startswith(cookie.path))

    def socket(self, path):
        url = urljoin(self.base, path).replace("http", "ws", 1)
        return websocket.create_connection(url, cookie=self.cookie_line(path), origin=self.base, timeout=LIMIT,
                                           sslopt={"cert_reqs": 0}, http_proxy_host=None)

    def run(self, user, kernel, source):
        """Runs code in a kernel; what it printed."""
        channels = self.socket(f"/user/{user}/api/kernels/{kernel}/channels")
        header = {"msg_id": uuid.uuid4().hex, "username": user, "session": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        channels.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
        output = ""
        while True:
            message = json.loads(channels.recv())
            if message["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if message["msg_type"] == "stream":
                output += message["content"]["text"]
            if message["content"].get("execution_state") == "idle":
                channels.close()
                return output.strip()

    def terminal(self, user, name, line, answer):
        """Types a line into a terminal, and reads until the answer."""
        socket = self.socket(f"/user/{user}/terminals/websocket/{name}")
        socket.send(json.dumps(["stdin", line + "\r"]))
        seen = ""
        while answer not in seen:
            kind, *rest = json.loads(socket.recv())
            if kind == "stdout":
                seen += rest[0]
        socket.close()
        return seen


class Http1(Browser):
    version = "1.1"

    def __init__(self, base):
        super().__init__(base)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = False
        self.session.headers["User-Agent"] = NAME

    def ask(self, method, path, headers, data=None, follow=False):
        answer = self.session.request(method, urljoin(self.base, path), headers=headers, data=data, allow_redirects=follow, timeout=LIMIT)
        return SimpleNamespace(status=answer.status_code, path=urlsplit(answer.url).path, text=answer.text,
                               location=answer.headers.get("location"), hops=[urlsplit(hop.url).path for hop in answer.history])

    def cookies(self):
        return list(self.session.cookies)

    def forget(self, *names):
        """Without arguments what a browser forgets that is closed and opened again."""
        for cookie in self.cookies():
            if cookie.name in names or not names and cookie.expires is None:
                self.session.cookies.clear(cookie.domain, cookie.path, cookie.name)

    def events(self, path, headers):
        with self.session.get(urljoin(self.base, path), stream=True, timeout=LIMIT, headers=headers) as answer:
            yield f"{answer.status_code} {answer.headers.get('content-type')}"
            yield from (line for line in answer.iter_lines(chunk_size=1) if line.startswith(b"data:"))


class Http2(Browser):
    version = "2"

    def __init__(self, base):
        super().__init__(base)
        self.folder = tempfile.TemporaryDirectory()
        self.jar = os.path.join(self.folder.name, "jar")
        open(self.jar, "w").close()

    def curl(self, method, headers, follow):
        """What all requests need but for the address; headers with secrets go by a file, as arguments are everybody's to read."""
        lines = os.path.join(self.folder.name, "headers")
        with open(lines, "w") as file:
            file.writelines(f"{name}: {value}\n" for name, value in headers.items())
        command = ["curl", "-q", "-sS", "-k", "--http2", "--max-time", str(LIMIT), "-A", NAME, "-b", self.jar, "-c", self.jar, "-H", f"@{lines}"]
        return command + (["-L", "--max-redirs", "12"] if follow else []) + (["-X", method] if method != "GET" else [])

    def ask(self, method, path, headers, data=None, follow=False):
        command = self.curl(method, headers, follow)
        command += ["-w", "\n%{http_code} %{http_version} %{num_redirects} %{url_effective} %{redirect_url}"]
        if isinstance(data, dict):
            data = requests.models.RequestEncodingMixin._encode_params(data)
        elif data is not None:
            command += ["-H", "Content-Type: application/json"]
        if data is not None:
            command += ["--data-binary", "@-"]
        done = subprocess.run([*command, urljoin(self.base, path)], input=(data or "").encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise OSError(done.stderr.decode())
        text, _, told = done.stdout.decode(errors="replace").rpartition("\n")
        status, version, hops, url, *location = told.split(" ")
        if version != self.version:
            raise OSError(f"HTTP/{version} to {url}")
        return SimpleNamespace(status=int(status), path=urlsplit(url).path, text=text, location=(location or [None])[0], hops=[None] * int(hops))

    def cookies(self):
        found = []
        with open(self.jar) as file:
            for line in file:
                fields = line.removeprefix("#HttpOnly_").rstrip("\n").split("\t")
                if len(fields) == 7:
                    found.append(SimpleNamespace(name=fields[5], value=fields[6], path=fields[2], expires=int(fields[4]) or None))
        return found

    def events(self, path, headers):
        command = [*self.curl("GET", headers, False), "-N", "-i", urljoin(self.base, path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
            status, kind = curl.stdout.readline().split()[1].decode(), None
            for line in curl.stdout:
                if line.lower().startswith(b"content-type:"):
                    kind = line.split(b":")[1].strip().decode()
                if line == b"\r\n":
                    yield f"{status} {kind}"
                if line.startswith(b"data:"):
                    yield line.rstrip()
            curl.kill()
