"""Public keys that are offered and not proved: offer.py ACT PORT USER OFFERED_KEY OTHER_KEY

ACT: unsigned    offers a key the gate knows, and never signs with it
     swapped     names a key the gate knows in the signed request, and signs with another
     foreign     offers the known key, then signs properly with the other one, which is nobody's
Prints each answer of the gate by its message number (60 key is fine, 51 failure, 52 success).
"""
import queue
import socket
import sys

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_USERAUTH_REQUEST
from paramiko.message import Message

act, port, user, known_file, other_file = sys.argv[1:]
known = paramiko.Ed25519Key.from_private_key_file(known_file)
other = paramiko.Ed25519Key.from_private_key_file(other_file)
answers = queue.Queue()


def request(key, signed):
    """A publickey request up to where a signature goes."""
    message = Message()
    message.add_byte(cMSG_USERAUTH_REQUEST)
    message.add_string(user)
    message.add_string("ssh-connection")
    message.add_string("publickey")
    message.add_boolean(signed)
    message.add_string("ssh-ed25519")
    message.add_string(key.asbytes())
    return message


class Silent(AuthHandler):
    """Sends nothing of its own and keeps what it is told."""

    @property
    def _client_handler_table(self):
        keep = {number: lambda message, number=number: answers.put(number) for number in (51, 52, 60)}
        return keep | {6: lambda message: answers.put("service"), 53: lambda message: None}


class Transport(paramiko.Transport):
    def sign_with(self, key, message):
        blob = Message()
        blob.add_string(self.session_id)
        signed = key.sign_ssh_data(blob.asbytes() + message.asbytes(), "ssh-ed25519")
        message.add_string(signed)
        return message


def ask(transport, message):
    transport._send_message(message)
    print(answers.get(timeout=30), flush=True)


transport = Transport(socket.create_connection(("127.0.0.1", int(port))))
transport.start_client(timeout=30)
transport.auth_handler = Silent(transport)
service = Message()
service.add_byte(b"\x05")
service.add_string("ssh-userauth")
transport._send_message(service)
assert answers.get(timeout=30) == "service"

if act in ("unsigned", "foreign"):
    for _ in range(3):
        ask(transport, request(known, False))
if act == "swapped":
    ask(transport, request(known, False))
    ask(transport, transport.sign_with(other, request(known, True)))
if act == "foreign":
    ask(transport, transport.sign_with(other, request(other, True)))
print("done", flush=True)
transport.close()
