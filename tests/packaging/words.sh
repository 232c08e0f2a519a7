# shellcheck shell=bash
# words.sh: what the scripts on the throw-away machine say and wait with. Sourced by them.

say() { printf '%s\n' "$*"; }
die() { printf 'inside the machine: %s\n' "$*" >&2; [ ! -s gate.log ] || tail -20 gate.log >&2; exit 1; }
is() { # WHAT IS WANTED
  [ "$2" = "$3" ] || die "$1 is \"$2\" and should be \"$3\""
}
there() { local file; for file in "$@"; do [ -e "$file" ] || die "$file is not there"; done; }
gone() { local file; for file in "$@"; do [ ! -e "$file" ] || die "$file is still there"; done; }
until_ok() { # WHAT COMMAND...: for a minute at most
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "$what: not in a minute"
    sleep 0.1
  done
}
owner() { stat -c '%U:%G %a' "$1"; }

# An sshd as an instance's, with the account alice, whose key is ./alice and whose home on the share is HOME.
an_instance() { # HOME USER-CA.PUB
  mkdir -p /run/sshd
  ssh-keygen -q -t ed25519 -N '' -f sshd_key
  useradd -p '*' -m -s /bin/bash alice
  ssh-keygen -q -t ed25519 -N '' -f alice
  install -D -o alice -m 0644 alice.pub "$1/.ssh/authorized_keys"
  chown -R alice: "$1"
  /usr/sbin/sshd -D -e -f /dev/null -p 2022 -h /root/sshd_key -o "TrustedUserCAKeys=$2" 2>sshd.log &
}

# alice_does PORT COMMAND: as she would type it.
alice_does() {
  ssh -F /dev/null -i alice -p "$1" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
    alice@127.0.0.1 "$2" 2>&1
}

alice_logs_in() { # PORT
  local said
  # shellcheck disable=SC2016 # for the shell there
  said=$(alice_does "$1" 'id -un; echo "${SSH_CONNECTION##* }"') || die "alice cannot log in: $said"
  # The sshd she reached is the one behind the gate.
  is "what alice reads" "$(echo "$said" | xargs)" "alice 2022"
}
