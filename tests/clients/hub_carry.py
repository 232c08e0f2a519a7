"""A person who carries large files to their server and back, one step at a time: hub_carry.py BASE_URL

Up by chunks of 1 MiB as JupyterLab does it, down in one piece, by HTTP/1.1 (requests) or HTTP/2 (curl). Reads one JSON object
a line, and prints one: what came of it.
"""
import base64
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time

from browsers import CODE, PAGE, Http1, Http2

base = sys.argv[1]
browsers = {"1.1": Http1(base), "2": Http2(base)}
CHUNK = 1 << 20
GROUP = 20  # chunks that curl sends over one connection, each from a file


def start(user, password):
    for browser in browsers.values():
        browser.page("/hub/login")
        browser.log_in(user, password)
    browser.page("/hub/spawn")
    limit = time.monotonic() + 120
    for browser in browsers.values():
        while browser.page(f"/user/{user}/lab").path != f"/user/{user}/lab":
            assert time.monotonic() < limit
            time.sleep(0.2)
    return {}


def chunks(megabytes, digest):
    noise = random.Random(megabytes)
    for number in range(1, megabytes + 1):
        data = noise.randbytes(CHUNK)
        digest.update(data)
        number = -1 if number == megabytes else number
        yield json.dumps({"type": "file", "format": "base64", "chunk": number, "content": base64.b64encode(data).decode()})


def headers(browser, user):
    return {**CODE, "Origin": base, "X-XSRFToken": browser.xsrf(f"/user/{user}/"), "Content-Type": "application/json"}


def upload(version, user, name, megabytes):
    digest, browser = hashlib.sha256(), browsers[version]
    path = f"/user/{user}/api/contents/{name}"
    put = upload_1 if version == "1.1" else upload_2
    statuses = put(browser, path, headers(browser, user), chunks(megabytes, digest))
    return {"statuses": sorted(set(statuses)), "sha256": digest.hexdigest()}


def upload_1(browser, path, headers, bodies):
    for body in bodies:
        yield f"1.1 {browser.session.put(base + path, data=body, headers=headers, timeout=120).status_code}"


def upload_2(browser, path, headers, bodies):
    with tempfile.TemporaryDirectory() as folder:
        lines = os.path.join(folder, "headers")
        with open(lines, "w") as file:
            file.writelines(f"{name}: {value}\n" for name, value in headers.items())
        one = [f'url = "{base}{path}"', 'request = "PUT"', f'header = "@{lines}"', f'cookie = "{browser.jar}"', "http2", "insecure",
               "silent", "show-error", 'output = "/dev/null"', 'write-out = "%{http_version} %{http_code}\\n"', "max-time = 120"]
        group = []
        for body in bodies:
            group.append(os.path.join(folder, str(len(group))))
            with open(group[-1], "w") as file:
                file.write(body)
            if len(group) == GROUP or '"chunk": -1' in body[:100]:
                config = "\nnext\n".join("\n".join([*one, f'data-binary = "@{file}"']) for file in group)
                done = subprocess.run(["curl", "-q", "-K", "-"], input=config, stdout=subprocess.PIPE, text=True, check=True)
                yield from done.stdout.split("\n")[:-1]
                group = []


def download(version, user, name):
    digest, browser, length = hashlib.sha256(), browsers[version], 0
    path = f"/user/{user}/files/{name}?download=1"
    if version == "1.1":
        with browser.session.get(base + path, headers=PAGE, stream=True, timeout=120) as answer:
            told = f"1.1 {answer.status_code}"
            for piece in answer.iter_content(CHUNK):
                digest.update(piece)
                length += len(piece)
    else:
        command = [*browser.curl("GET", PAGE, False), "-w", "%{stderr}%{http_version} %{http_code}", base + path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as curl:
            while piece := curl.stdout.read(CHUNK):
                digest.update(piece)
                length += len(piece)
            told = curl.stderr.read().decode()
    return {"status": told, "length": length, "sha256": digest.hexdigest()}


steps = {"start": start, "upload": upload, "download": download}
for line in sys.stdin:
    wish = json.loads(line)
    step = steps[wish.pop("step")]
    began = time.monotonic()
    came = step(**wish)
    print(json.dumps({**came, "took": round(time.monotonic() - began, 1)}), flush=True)
