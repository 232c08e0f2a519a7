"""A login with asyncssh: asyncssh_client.py ACT PORT USER KEY KNOWN_HOSTS [CERTIFICATE or SERVICE]

ACT: command     runs a command, prints its output
     signal      runs a command that a signal ends, prints the signal's name
     sftp        writes and reads 3 MB by SFTP
     pty         prints the size and kind of terminal a command sees
     forward     prints what the service at port SERVICE says through a channel
     password    logs in with the password in KEY's place
     interactive logs in by keyboard-interactive rounds; prints each prompt
"""
import asyncio, os, sys

import asyncssh

act, port, user, key, known_hosts, *certificate = sys.argv[1:]


class Prompts(asyncssh.SSHClient):
    def auth_banner_received(self, msg, lang):
        print(f"banner {msg.strip()}")

    def kbdint_auth_requested(self):
        return ""

    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        for prompt, echo in prompts:
            print(f"prompt {prompt.strip()} echo {echo}")
        return [key] * len(prompts)

    def password_auth_requested(self):
        return None


def settings():
    common = dict(host="127.0.0.1", port=int(port), username=user, known_hosts=known_hosts, config=None, agent_path=None)
    if act == "password":
        return common | dict(password=key, client_keys=None, preferred_auth="password", client_factory=Banner)
    if act == "interactive":
        return common | dict(client_keys=None, preferred_auth="keyboard-interactive", client_factory=Prompts)
    if act == "forward":
        return common | dict(client_keys=[key])
    return common | dict(client_keys=[(key, certificate[0]) if certificate else key])


class Banner(asyncssh.SSHClient):
    def auth_banner_received(self, msg, lang):
        print(f"banner {msg.strip()}")


async def main():
    async with asyncssh.connect(**settings()) as connection:
        if act == "signal":
            result = await connection.run("kill -KILL $$")
            print(result.exit_signal[0])
        elif act == "sftp":
            data = os.urandom(3_000_000)
            async with connection.start_sftp_client() as sftp:
                async with sftp.open("asyncssh.bin", "wb") as file:
                    await file.write(data)
                async with sftp.open("asyncssh.bin", "rb") as file:
                    assert await file.read() == data
            print("same")
        elif act == "pty":
            result = await connection.run("echo $(stty size) $TERM", term_type="vt220", term_size=(97, 31), check=True)
            print(result.stdout.strip())
        elif act == "forward":
            reader, _ = await connection.open_connection("127.0.0.1", int(certificate[0]))
            print((await reader.read()).decode())
        else:
            result = await connection.run("echo $POOLGATE_INSTANCE; whoami", check=True)
            print(result.stdout.strip())


try:
    asyncio.run(main())
except asyncssh.PermissionDenied as error:
    print(f"denied {error.reason}")
    sys.exit(5)
