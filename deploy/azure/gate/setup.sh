#!/bin/bash
# Makes a Debian or Ubuntu machine in Azure the gate of a pool: the package, keys from Key Vault, the shared drive, a config.
# cloud-init runs it; run again it changes nothing that is as it should be.
#
#   setup.sh            everything; a config that is there already is left as it is
#   setup.sh keys       people's public keys, copied from the drive: a drive that hangs keeps nobody out
#
# Settings are in /etc/poolgate/gate.env; deploy/azure/README.md lists them. It stops at the first thing that goes wrong.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin
home=/opt/poolgate/setup
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
beside() { if [ -e "$here/$1" ]; then echo "$here/$1"; else echo "$here/$2"; fi; }
# shellcheck source=deploy/azure/lib.sh
. "$(beside lib.sh ../lib.sh)"

readonly CONFIG=/etc/poolgate/poolgate.toml
readonly KEYS_FOLDER=/var/lib/poolgate-keys
readonly ADMIN_PORT=2222
readonly KEY_BYTES_MAX=65536

main() {
  begin /etc/poolgate/gate.env
  case ${1:-all} in
    all) install_all ;;
    keys) sync_keys ;;
    *) die "unknown: $1; it takes nothing or keys" ;;
  esac
  say "$changes changes"
}

install_all() {
  local wanted=(curl jq openssl openssh-client openssh-server util-linux)
  case $(setting POOLGATE_SHARE none) in
    nfs) wanted+=(nfs-common) ;;
    smb) wanted+=(cifs-utils) ;;
  esac
  packages "${wanted[@]}"
  make_room
  own_package
  secrets
  share_credentials
  share_in_fstab
  mount_share
  sync_keys
  config
  start
}

# Port 22 is people's. The machine's own sshd goes elsewhere, where the network lets in whom the template names.
make_room() {
  local before=$changes
  printf 'Port %s\nPasswordAuthentication no\n' "$ADMIN_PORT" | put 0644 /etc/ssh/sshd_config.d/10-poolgate-admin.conf
  if has_systemd && [ "$changes" != "$before" ]; then
    systemctl daemon-reload
    if systemctl --quiet is-active ssh.socket; then systemctl restart ssh.socket; fi
    systemctl restart ssh.service
  fi
}

own_package() {
  local file url want have stamp=/var/lib/poolgate-setup/package
  url=$(needed POOLGATE_PACKAGE_URL)
  want=$(needed POOLGATE_PACKAGE_SHA256)
  # Later versions are the package manager's.
  [ ! -e "$stamp" ] || return 0
  file=$(mktemp --suffix .deb)
  curl -sS --fail --location --proto '=https,file' --max-time 600 -o "$file" "$url" || die "$url cannot be fetched"
  have=$(sha256sum "$file" | cut -d' ' -f1)
  [ "$have" = "${want,,}" ] || die "$url has the SHA-256 $have, not $want: nothing of it was installed"
  chmod 0644 "$file"
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold install "$file" >/dev/null ||
    die "the package from $url does not install"
  rm -f "$file"
  printf '%s\n' "$want" | put 0644 "$stamp"
}

# The account that the package's unit runs the gate as.
account() { if getent passwd poolgate >/dev/null; then echo poolgate; else echo root; fi; }

private() { # FILE
  [ "$(stat -c '%U %a' "$1")" = "$(account) 600" ] || { chown "$(account):" "$1" && chmod 0600 "$1"; }
}

secrets() {
  folder 0755 /etc/poolgate
  private_key ssh-host-ed25519-key ssh_host_ed25519_key
  private_key user-ca user_ca
  vault_file POOLGATE_VAULT hub-token /etc/poolgate/hub.token openssl rand -hex 32
  ssh-keygen -y -f /etc/poolgate/user_ca | put 0644 /etc/poolgate/user_ca.pub
  vault_file POOLGATE_VAULT user-ca-public /etc/poolgate/user_ca.pub false
  chmod 0644 /etc/poolgate/user_ca.pub
  # TLS is of the vault, of an authority, or of nobody.
  if vault_key=POOLGATE_GATE_VAULT secret tls-certificate >/dev/null; then
    vault_file POOLGATE_GATE_VAULT tls-certificate /etc/poolgate/tls.pem false
    vault_file POOLGATE_GATE_VAULT tls-key /etc/poolgate/tls.key false
  elif [ "$(setting POOLGATE_ACME_TERMS_AGREED false)" != true ] && [ ! -e /etc/poolgate/tls.pem ]; then
    say "WARNING: a self-signed certificate: agree to the authority's terms (acmeTermsAgreed) or put tls-certificate and tls-key into the vault"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=$(needed POOLGATE_DOMAIN)" \
      -addext "subjectAltName=DNS:$(needed POOLGATE_DOMAIN)" -keyout /etc/poolgate/tls.key -out /etc/poolgate/tls.pem 2>/dev/null
    private /etc/poolgate/tls.key
    private /etc/poolgate/tls.pem
    changed /etc/poolgate/tls.pem
  fi
}

new_key() { rm -f "$1" && ssh-keygen -q -t ed25519 -N '' -C "poolgate $2" -f "$1" && rm -f "$1.pub" && cat "$1"; }
private_key() { # SECRET FILE
  vault_file POOLGATE_GATE_VAULT "$1" "/etc/poolgate/$2" new_key "/etc/poolgate/$2.making" "$1"
  rm -f "/etc/poolgate/$2.making"
}

# vault_file VAULT SECRET FILE COMMAND...: the file is what the vault has. Where it has none, the vault gets what the file holds,
# or what the command prints if there is no file either.
vault_file() {
  local vault=$1 name=$2 file=$3 text status=0
  shift 3
  text=$(vault_key=$vault secret "$name") || status=$?
  case $status in
    0) printf '%s\n' "$text" | (umask 077 && cat >"$file.new") ;;
    3)
      if [ -e "$file" ]; then (umask 077 && cat "$file" >"$file.new"); else (umask 077 && "$@" >"$file.new"); fi ||
        die "the vault has no $name, and none could be made"
      vault_key=$vault keep_secret "$name" "$file.new"
      ;;
    *) exit "$status" ;;
  esac
  if cmp -s "$file.new" "$file"; then rm -f "$file.new"; else mv -fT "$file.new" "$file"; changed "$file"; fi
  private "$file"
}

# One file a person below /var/lib/poolgate-keys: what the operator gave (poolgate/keys/NAME on the drive) and what they have in
# their home. Read with their own rights: what a link of theirs leads to, they could have read themselves.
sync_keys() {
  [ "$(setting POOLGATE_PEOPLE share)" = share ] || return 0
  local path lines name uid rest seen=" " file text
  path=$(needed POOLGATE_SHARE_PATH)
  folder 0755 "$KEYS_FOLDER"
  lines=$(people_lines)
  [ -n "$lines" ] || return 0
  while IFS=: read -r name uid rest; do
    if ! is_name "$name" || ! is_uid "$uid"; then
      say "the people file: \"$name\" is left out"
      continue
    fi
    seen+="$name "
    # What cannot be read in time stays as it was.
    text=$(keys_of "$name" "$uid" "$path") || continue
    printf '%s\n' "$text" | put 0644 "$KEYS_FOLDER/$name"
  done <<<"$lines"
  for file in "$KEYS_FOLDER"/*; do
    name=${file##*/}
    case $seen in *" $name "*) ;; *) [ ! -e "$file" ] || { rm -f "$file" && changed "$file, whose person is gone"; } ;; esac
  done
}

keys_of() { # NAME UID DRIVE
  local name=$1 uid=$2 drive=$3 as=() status=0
  if timeout 10 test -f "$drive/poolgate/keys/$name"; then
    timeout 10 head -c "$KEY_BYTES_MAX" "$drive/poolgate/keys/$name" || return 1
    echo
  fi
  # On an SMB drive everything is root's, and it is mounted without links.
  [ "$(setting POOLGATE_SHARE none)" = smb ] || as=(setpriv --reuid "$uid" --regid "$uid" --clear-groups)
  "${as[@]}" timeout 10 head -c "$KEY_BYTES_MAX" "$drive/home/$name/.ssh/authorized_keys" 2>/dev/null || status=$?
  # 1 is a file that is not there, or not theirs to read; anything else is a drive that does not answer.
  [ "$status" -le 1 ]
}

is_new=no
config() {
  if grep -qs '^# Written by deploy/azure/gate/setup.sh' "$CONFIG"; then return 0; fi
  local tls domain admins
  domain=$(needed POOLGATE_DOMAIN)
  if [ -e /etc/poolgate/tls.pem ]; then
    tls=$'certificate = "/etc/poolgate/tls.pem"\nprivate_key = "/etc/poolgate/tls.key"'
  else
    tls=$'[https.acme]\nagree_to_terms = true\ndomains = ["'$domain$'"]'
  fi
  admins=$(setting POOLGATE_ADMINS)
  [ -z "$admins" ] || admins="\"${admins//,/\", \"}\""
  is_new=yes
  put 0644 "$CONFIG" <<TOML
# Written by deploy/azure/gate/setup.sh when this machine was set up, and yours since: it is not written again.
state_dir = "/var/lib/poolgate"

[ssh]
listen = ["0.0.0.0:22"]
host_keys = ["/etc/poolgate/ssh_host_ed25519_key"]
user_ca = "/etc/poolgate/user_ca"

[ssh.auth]
authorized_keys = ["$KEYS_FOLDER/%u"]

[https]
listen = ["0.0.0.0:443"]
redirect_listen = ["0.0.0.0:80"]
admins = [$admins]
$tls

[audit]
file = "/var/lib/poolgate/audit.jsonl"

[pools.main]
capacity = $(setting POOLGATE_CAPACITY 8)

[pools.main.jupyter]
api_token_file = "/etc/poolgate/hub.token"

[pools.main.load]
source = "ssh:poolgate-probe"
shared_drive = "$(needed POOLGATE_SHARE_PATH)"
scheduled_events = true

[pools.main.fleet]
provider = "azure"
subscription = "$(needed POOLGATE_SUBSCRIPTION)"
resource_group = "$(needed POOLGATE_RESOURCE_GROUP)"
scale_set = "$(needed POOLGATE_SCALE_SET)"
cloud = "$(setting POOLGATE_CLOUD public)"
credential = "managed-identity"
client_id = "$(needed POOLGATE_IDENTITY)"

[pools.main.scaling]
min = 0
max = $(setting POOLGATE_INSTANCES_MAX 20)
time_zone = "$(setting POOLGATE_TIME_ZONE UTC)"
TOML
  poolgate check -c "$CONFIG" >/dev/null || die "poolgate does not accept $CONFIG"
}

start() {
  put 0644 /etc/systemd/system/poolgate-keys.service <<UNIT
[Unit]
Description=People's public keys, copied from the shared drive

[Service]
Type=oneshot
ExecStart=$home/setup.sh keys
TimeoutStartSec=5min
UNIT
  put 0644 /etc/systemd/system/poolgate-keys.timer <<'UNIT'
[Unit]
Description=People's public keys, copied from the shared drive each minute

[Timer]
OnBootSec=1min
OnUnitActiveSec=1min

[Install]
WantedBy=timers.target
UNIT
  systemctl --quiet enable poolgate.service poolgate-keys.timer
  if has_systemd; then
    systemctl daemon-reload
    systemctl start poolgate-keys.timer
    # A gate with people on it is restarted by its operator, not by this.
    if [ "$is_new" = yes ]; then systemctl restart poolgate.service; else systemctl start poolgate.service; fi
  fi
  date -u +%FT%TZ >/run/poolgate-ready
}

main "$@"
