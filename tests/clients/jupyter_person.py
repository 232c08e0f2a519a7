"""A person at a JupyterHub, scripted: jupyter_person.py BASE_URL USER PASSWORD CA_FILE MEGABYTES

Logs in, starts a server while watching its progress, runs code over a kernel's WebSocket, reloads, and carries a file up
and down by HTTP/1.1 (requests) and HTTP/2 (curl). Prints one fact a line.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from urllib.parse import urljoin, urlsplit

import requests
import websocket

base, user, password, ca_file, megabytes = sys.argv[1:]
verify = ca_file or True
session = requests.Session()
session.trust_env = False
session.verify = verify
LIMIT = 120  # seconds for a server or a kernel to be there


def say(name, value):
    print(name, value, flush=True)


def get(path, **more):
    answer = session.get(urljoin(base, path), timeout=60, **more)
    return answer


def xsrf(path):
    """The token that belongs to a path: the hub's and the person's server have one each."""
    found = [cookie for cookie in session.cookies if cookie.name == "_xsrf" and path.startswith(cookie.path)]
    return max(found, key=lambda cookie: len(cookie.path)).value


def log_in():
    page = get("/")
    page.raise_for_status()
    say("first-cookies", ",".join(sorted({c.name for answer in [*page.history, page] for c in answer.cookies})))
    form = {"username": user, "password": password, "_xsrf": xsrf("/hub/")}
    answer = session.post(urljoin(base, "/hub/login?next="), data=form, allow_redirects=False, timeout=60)
    say("login", answer.status_code)
    # JupyterHub gives its _xsrf cookie no Secure, whatever it is told; the ones that log in have it.
    insecure = [cookie.name for cookie in session.cookies if not cookie.secure]
    say("insecure-cookies", ",".join(sorted(insecure)) or "none")


def spawn():
    page = get("/hub/spawn")
    say("spawn", page.status_code)
    began = time.monotonic()
    url = urljoin(base, f"/hub/api/users/{user}/server/progress?_xsrf={xsrf('/hub/')}")
    with session.get(url, stream=True, timeout=LIMIT, headers={"Accept": "text/event-stream", "Referer": page.url}) as events:
        say("progress", f"{events.status_code} {events.headers.get('content-type')}")
        for line in events.iter_lines(chunk_size=1):
            if line.startswith(b"data:"):
                if began:
                    say("first-event-ms", int((time.monotonic() - began) * 1000))
                    began = None
                if json.loads(line[5:]).get("ready"):
                    break
    lab = get(f"/user/{user}/lab")
    say("lab", f"{lab.status_code} {urlsplit(lab.url).path}")


def run_code():
    headers = {"X-XSRFToken": xsrf(f"/user/{user}/"), "Origin": base}
    kernel = session.post(urljoin(base, f"/user/{user}/api/kernels"), json={"name": "python3"}, headers=headers, timeout=60)
    say("kernel", kernel.status_code)
    cookies = "; ".join(f"{c.name}={c.value}" for c in session.cookies if f"/user/{user}/".startswith(c.path))
    url = urljoin(base, f"/user/{user}/api/kernels/{kernel.json()['id']}/channels").replace("http", "ws", 1)
    options = {"ca_certs": ca_file} if ca_file else {}
    socket = websocket.create_connection(url, cookie=cookies, origin=base, timeout=LIMIT, sslopt=options,
                                         http_proxy_host=None)
    code = "import os; print(6 * 7, os.environ['POOLGATE_INSTANCE'])"
    header = {"msg_id": uuid.uuid4().hex, "username": user, "session": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    socket.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
    while True:
        message = json.loads(socket.recv())
        if message["msg_type"] == "stream" and message["parent_header"].get("msg_id") == header["msg_id"]:
            say("output", message["content"]["text"].strip())
            break
    # Idle for a moment, and one ping of ours: the tunnel stays.
    socket.ping("still there")
    socket.close()


def reload_page():
    again = get(f"/user/{user}/lab", allow_redirects=False)
    say("reload", again.status_code)


def carry_by_http1(data, encoded):
    headers = {"X-XSRFToken": xsrf(f"/user/{user}/"), "Content-Type": "application/json"}
    up = session.put(urljoin(base, f"/user/{user}/api/contents/one.bin"), data=encoded, headers=headers, timeout=LIMIT)
    say("upload-1", up.status_code)
    down = get(f"/user/{user}/files/one.bin")
    say("download-1", f"{down.status_code} {'same' if down.content == data else 'different'}")


def carry_by_http2(data, encoded):
    cookies = "; ".join(f"{c.name}={c.value}" for c in session.cookies if f"/user/{user}/".startswith(c.path))
    with tempfile.TemporaryDirectory() as folder:
        body, back, config = (os.path.join(folder, name) for name in ("body", "back", "config"))
        with open(body, "w") as file:
            file.write(encoded)
        # In a file, since a process's arguments are everybody's to read.
        with open(config, "w") as file:
            # One line a cookie: h2 clients may split them, and servers behind HTTP/1.1 want them joined.
            for crumb in cookies.split("; "):
                file.write(f'header = "Cookie: {crumb}"\n')
            file.write(f'header = "X-XSRFToken: {xsrf(f"/user/{user}/")}"\n')
        common = ["curl", "-q", "-sS", "--http2", "-K", config, "--max-time", str(LIMIT), "-w", "%{http_version} %{http_code}"]
        common += ["--cacert", ca_file] if ca_file else []
        put = [*common, "-X", "PUT", "-H", "Content-Type: application/json", "--data-binary", f"@{body}", "-o", "/dev/null"]
        say("upload-2", printed([*put, urljoin(base, f"/user/{user}/api/contents/two.bin")]))
        got = printed([*common, "-o", back, urljoin(base, f"/user/{user}/files/two.bin")])
        with open(back, "rb") as file:
            say("download-2", f"{got} {'same' if file.read() == data else 'different'}")


def printed(command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


log_in()
spawn()
run_code()
reload_page()
if int(megabytes):
    data = os.urandom(int(megabytes) * 1_000_000)
    encoded = json.dumps({"type": "file", "format": "base64", "content": base64.b64encode(data).decode()})
    carry_by_http1(data, encoded)
    carry_by_http2(data, encoded)
