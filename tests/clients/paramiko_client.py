"""A login with paramiko: paramiko_client.py ACT PORT USER SECRET [SERVICE]

ACT: command     SECRET is a private key's file; runs a command, prints its output
     sftp        the same key; writes and reads 3 MB by SFTP
     pty         the same key; prints the size and kind of terminal a command sees
     forward     the same key; prints what the service at port SERVICE says through a channel
     exec        the same key; runs the command SERVICE, prints its output, its errors and its exit status
     password    SECRET is a password
     interactive SECRET answers every prompt of keyboard-interactive rounds
"""
import os, socket, sys

import paramiko

act, port, user, secret, *service = sys.argv[1:]
transport = paramiko.Transport(socket.create_connection(("127.0.0.1", int(port))))


def answer(title, instructions, prompts):
    for prompt, echo in prompts:
        print(f"prompt {prompt.strip()} echo {echo}")
    return [secret] * len(prompts)


try:
    transport.start_client(timeout=30)
    if act == "password":
        transport.auth_password(user, secret, fallback=False)
    elif act == "interactive":
        transport.auth_interactive(user, answer)
    else:
        transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(secret))
except paramiko.AuthenticationException as error:
    print(f"denied {error}")
    sys.exit(5)

if banner := transport.get_banner():
    print(f"banner {banner.decode().strip()}")
if act == "sftp":
    data = os.urandom(3_000_000)
    with paramiko.SFTPClient.from_transport(transport) as sftp:
        with sftp.open("paramiko.bin", "wb") as file:
            file.set_pipelined(True)
            file.write(data)
        with sftp.open("paramiko.bin", "rb") as file:
            file.prefetch()
            assert file.read() == data
    print("same")
elif act == "pty":
    channel = transport.open_session()
    channel.get_pty("vt220", 97, 31)
    channel.exec_command("echo $(stty size) $TERM")
    print(channel.makefile().read().decode().strip())
elif act == "forward":
    channel = transport.open_channel("direct-tcpip", ("127.0.0.1", int(service[0])), ("127.0.0.1", 1))
    print(channel.makefile().read().decode())
elif act == "exec":
    channel = transport.open_session()
    channel.exec_command(service[0])
    print(channel.makefile().read().decode().strip())
    print(channel.makefile_stderr().read().decode().strip())
    print("exit", channel.recv_exit_status())
else:
    channel = transport.open_session()
    channel.exec_command("echo $POOLGATE_INSTANCE; whoami")
    print(channel.makefile().read().decode().strip())
    assert channel.recv_exit_status() == 0
transport.close()
