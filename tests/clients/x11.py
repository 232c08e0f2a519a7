"""Runs on an instance: connects to $DISPLAY as an X11 program would, with the cookie that the session was given."""
import os, socket, struct, subprocess

display = os.environ["DISPLAY"]
print("display", display)
cookie = subprocess.run(["xauth", "list", display], capture_output=True, text=True, check=True).stdout.split()[-1]
name = b"MIT-MAGIC-COOKIE-1"
setup = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), 16) + name + b"\0\0" + bytes.fromhex(cookie)
port = 6000 + int(display.split(":")[1].split(".")[0])
with socket.create_connection(("localhost", port), timeout=20) as stream:
    stream.sendall(setup)
    print("answer", stream.recv(100).decode())
