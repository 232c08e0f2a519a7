"""What schemathesis does beyond its own: every request is a connection of its own from another address of the loopback.

The gate makes an address that shows wrong tokens wait, whoever else comes from there. Showing wrong tokens is a part of the
check `ignored_auth`, and the checks after it are about other things than that.
"""
import itertools
import threading

import schemathesis
import urllib3.util.connection

connect = urllib3.util.connection.create_connection
numbers = itertools.count(1)
lock = threading.Lock()


def from_elsewhere(address, timeout=None, source_address=None, socket_options=None):
    with lock:
        number = next(numbers)
    source = f"127.{1 + number // 62500 % 250}.{1 + number // 250 % 250}.{1 + number % 250}"
    return connect(address, timeout, (source, 0), socket_options)


urllib3.util.connection.create_connection = from_elsewhere


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["Connection"] = "close"
