"""metadata.py FOLDER: what a machine in Azure finds around it: the metadata service, which gives a token to whoever asks, and two
vaults (ports 8200, 8201), whose secrets are the files of FOLDER/8200 and FOLDER/8201. Like Azure right after a role was given,
each vault refuses its first request."""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-machine"
folder = Path(sys.argv[1])


class Answers(BaseHTTPRequestHandler):
    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


class Metadata(Answers):
    def do_GET(self):
        url = urlsplit(self.path)
        asked = parse_qs(url.query)
        if self.headers.get("Metadata") != "true" or url.path != "/metadata/identity/oauth2/token":
            return self.answer(400, {"error": "invalid_request"})
        if not asked.get("client_id") or not asked.get("resource") or asked.get("api-version") != ["2018-02-01"]:
            return self.answer(400, {"error": "invalid_request"})
        return self.answer(200, {"access_token": TOKEN})


class Vault(Answers):
    def secret(self):
        """The file that was asked for; None after an answer to whoever may not ask."""
        url = urlsplit(self.path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" or parse_qs(url.query).get("api-version") != ["7.4"]:
            return self.answer(401, {"error": {"code": "Unauthorized"}})
        if not self.server.is_ready:
            self.server.is_ready = True
            return self.answer(403, {"error": {"code": "Forbidden"}})
        return self.server.folder / url.path.removeprefix("/secrets/")

    def do_GET(self):
        file = self.secret()
        if file and file.exists():
            self.answer(200, {"value": file.read_text()})
        elif file:
            self.answer(404, {"error": {"code": "SecretNotFound"}})

    def do_PUT(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        file = self.secret()
        if file:
            file.write_text(body["value"])
            self.answer(200, body)


servers = [ThreadingHTTPServer(("169.254.169.254", 80), Metadata)]
for port in (8200, 8201):
    server = ThreadingHTTPServer(("127.0.0.1", port), Vault)
    server.folder = folder / str(port)
    server.folder.mkdir(parents=True, exist_ok=True)
    server.is_ready = False
    servers.append(server)
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
