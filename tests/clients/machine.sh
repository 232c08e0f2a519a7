#!/bin/bash
# A machine of a pool of local processes: OpenSSH and JupyterHub, as instances run them.
# machine.sh SETTINGS NAME SSH_PORT HUB_PORT FOLDER; SETTINGS is a file of the test's with what is the same for all machines.
set -eu
. "$1"
name=$2 ssh_port=$3 hub_port=$4 folder=$5
cd "$folder"

[ -e host_key ] || ssh-keygen -q -t ed25519 -N "" -f host_key
# Of words that are there twice, sshd takes the first.
cat >sshd_config <<EOF
$SSHD_LINES
ListenAddress 127.0.0.1:$ssh_port
HostKey $folder/host_key
PidFile none
TrustedUserCAKeys $USER_CA
AuthorizedKeysFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
SetEnv POOLGATE_INSTANCE=$name
MaxStartups 1000
UseDNS no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
EOF

mkdir -p homes
touch more.py
two_ports='import socket; a, b = socket.socket(), socket.socket(); a.bind(("127.0.0.1", 0)); b.bind(("127.0.0.1", 0)); print(a.getsockname()[1], b.getsockname()[1])'
export HUB_INSTANCE=$name HUB_FOLDER=$folder HUB_SIGN_IN="" HOME=$folder PYTHONNOUSERSITE=1 JUPYTER_NO_CONFIG=1
HUB_PORTS="$hub_port $("$HUB_VENV/bin/python" -c "$two_ports")"
export HUB_PORTS

trap 'kill $(jobs -p) 2>/dev/null; wait' TERM INT
"$SSHD" -D -f "$folder/sshd_config" -E sshd.log &
"$HUB_VENV/bin/jupyterhub" -f "$HUB_CONFIG" >hub.log 2>&1 &
# When one of them ends, the machine does.
wait -n || true
kill $(jobs -p) 2>/dev/null || true
wait
