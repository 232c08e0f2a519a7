"""Gives a command (ssh -tt) a terminal and acts on it as a person would.

terminal.py resize|interrupt|break|password|watch COMMAND...: prints what came out, and `status N` with the command's exit status.
"""
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

LIMIT = 40  # seconds for any one expected text


def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    def __init__(self, command):
        self.seen = b""
        self.mark = 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "vt220"
            # Before ssh reads them: the size, and an erase key that is not the default.
            size(0, 24, 80)
            modes = termios.tcgetattr(0)
            modes[6][termios.VERASE] = b"\x08"
            termios.tcsetattr(0, termios.TCSANOW, modes)
            os.execvp(command[0], command)

    def type(self, text):
        os.write(self.fd, text)

    def expect(self, pattern):
        """Waits for new output that matches."""
        deadline = time.monotonic() + LIMIT
        while not (found := re.compile(pattern).search(self.seen, self.mark)):
            if time.monotonic() > deadline or not self.read(0.2):
                self.end(f"waited in vain for {pattern!r}")
        self.mark = found.end()
        return found

    def read(self, seconds):
        """False at the end of output."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side of a pty has closed
            data = b""
        self.seen += data
        return bool(data)

    def end(self, complaint=None):
        if complaint:
            os.kill(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + LIMIT
        while not complaint and self.read(1):
            if time.monotonic() > deadline:
                complaint = "the command does not end"
                os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        sys.stdout.write(self.seen.decode(errors="replace"))
        print(f"\nstatus {status}")
        sys.exit(complaint or 0)

    def start_shell(self):
        # The shell's own prompt may hold anything; this one is known, and is not in the line that sets it.
        self.type(b"PS1='rea''dy> '; PS2=; unset PROMPT_COMMAND\n")
        self.expect(rb"ready> ")


def resize(terminal):
    terminal.start_shell()
    terminal.type(b"echo size-'before' $(stty size); echo 'te'rm $TERM; stty -a | grep -o 'erase = [^;]*'\n")
    terminal.expect(rb"\nsize-before [^\n]*\n(.*\n)*.*ready> ")
    size(terminal.fd, 50, 132)
    os.kill(terminal.pid, signal.SIGWINCH)
    # The change travels by itself: ask until it is there.
    terminal.type(b"until [ \"$(stty size)\" = '50 132' ]; do :; done; echo size-'after' $(stty size)\n")
    terminal.expect(rb"\nsize-after 50 132")
    terminal.type(b"exit 7\n")


def interrupt(terminal):
    terminal.start_shell()
    # Said by the command itself, which is then the one that the key interrupts.
    terminal.type(b"sh -c 'echo sl''eep; exec sleep 300'\n")
    terminal.expect(rb"\nsleep\r")
    terminal.type(b"\x03")
    terminal.expect(rb"ready> ")
    terminal.type(b"echo inter'rupted' $?; exit 9\n")


def send_break(terminal):
    terminal.start_shell()
    terminal.type(b"\n")
    terminal.expect(rb"ready> ")
    terminal.type(b"~B")
    terminal.type(b"\nexit 8\n")


def password(terminal):
    terminal.start_shell()
    terminal.type(b"echo 'gr\xc3\xbcn'\n")
    terminal.expect("\n[^']*gr\u00fcn\r\n".encode())
    terminal.expect(rb"ready> ")
    # As a person types: what is sent has been seen.
    terminal.type(b"echo seen")
    terminal.expect(rb"echo seen")
    terminal.type(b"\r")
    terminal.expect(rb"\nseen\r")
    terminal.expect(rb"ready> ")
    size(terminal.fd, 50, 132)
    os.kill(terminal.pid, signal.SIGWINCH)
    terminal.type(b"until [ \"$(stty size)\" = '50 132' ]; do :; done; echo 'resi'zed\n")
    terminal.expect(rb"\nresized")
    terminal.expect(rb"ready> ")
    terminal.type(b"read -s -p 'Pass'word: word; echo; echo len'gth' ${#word}\n")
    terminal.expect(rb"Password:")
    for key in "hunter2-is-secret":
        terminal.type(key.encode())
    terminal.type(b"\r")
    terminal.expect(rb"\nlength 17")
    terminal.expect(rb"ready> ")
    terminal.type(b"exit 7\n")


def watch(terminal):
    pass


terminal = Terminal(sys.argv[2:])
acts = {"resize": resize, "interrupt": interrupt, "break": send_break, "password": password, "watch": watch}
acts[sys.argv[1]](terminal)
terminal.end()
