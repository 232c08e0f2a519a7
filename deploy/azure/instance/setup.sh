#!/bin/bash
# Makes a Debian or Ubuntu machine an instance of a pool: the shared drive, people's accounts, sshd's drop-in and the user CA,
# JupyterHub, no way for people to the cloud's metadata service. On Azure cloud-init runs it; elsewhere you may, as root.
#
#   setup.sh            everything, then `boot`; run again it changes nothing that is as it should be
#   setup.sh prepare    only what takes the network and time, packages and JupyterHub: for an image of your own
#   setup.sh boot       what each start of the machine needs; /run/poolgate-ready is written last
#   setup.sh people     accounts as the people file on the drive has them
#
# Settings are in /etc/poolgate/instance.env; deploy/azure/README.md lists them. It stops at the first thing that goes wrong, and
# the machine then takes nobody: no readiness file, and with POOLGATE_HOLD_SSH=yes no sshd.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin
home=/opt/poolgate/setup
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# In a clone the files lie in several folders; installed they lie in one.
beside() { if [ -e "$here/$1" ]; then echo "$here/$1"; else echo "$here/$2"; fi; }
# shellcheck source=deploy/azure/lib.sh
. "$(beside lib.sh ../lib.sh)"

readonly READY=/run/poolgate-ready
readonly GROUP_DEFAULT=poolgate-people
readonly HUB_PINS=(jupyterhub==6.1.1 jupyterlab==4.6.6 jupyter_server==2.21.1)
# The newest that runs on the Node of Ubuntu 22.04 and Debian 12.
readonly PROXY_PIN=configurable-http-proxy@4.6.3

main() {
  begin /etc/poolgate/instance.env
  case ${1:-all} in
    all) install_all; boot ;;
    prepare) packages_needed; hub_program ;;
    boot) boot ;;
    people) sync_people ;;
    *) die "unknown: $1; it takes nothing, prepare, boot or people" ;;
  esac
  say "$changes changes"
}

install_all() {
  rm -f "$READY"
  packages_needed
  own_copy
  users
  share
  trust_gate
  keep_from_metadata
  login_hook
  jupyterhub
  units
}

packages_needed() {
  local wanted=(openssh-server curl jq util-linux iproute2 nftables)
  case $(setting POOLGATE_SHARE none) in
    nfs) wanted+=(nfs-common) ;;
    smb) wanted+=(cifs-utils) ;;
  esac
  case $(setting POOLGATE_JUPYTERHUB install) in install) wanted+=(python3-venv nodejs npm) ;; esac
  packages "${wanted[@]}"
}

# What login and later starts run, where no clone and no cloud-init is needed any more.
own_copy() {
  [ "$here" != "$home" ] || return 0
  local name
  for name in lib.sh at-login.sh jupyterhub_config.py setup.sh; do
    put 0755 "$home/$name" <"$(beside "$name" "../$name")"
  done
  put 0644 "$home/poolgate.conf" <"$(sshd_source)"
}

sshd_source() { beside poolgate.conf ../../../config/sshd_config.d/poolgate.conf; }

users() {
  getent group "$(group)" >/dev/null || { groupadd --system "$(group)"; changed "group $(group)"; }
  # The account that the gate asks how busy the machine is as; nobody else has it.
  getent passwd poolgate-probe >/dev/null ||
    { useradd --system --create-home --shell /bin/sh poolgate-probe; changed "account poolgate-probe"; }
  folder 0755 /var/lib/poolgate-people
}

group() { setting POOLGATE_GROUP "$GROUP_DEFAULT"; }

share() {
  share_credentials
  share_in_fstab
  mount_share
}

# --- sshd ---------------------------------------------------------------------------------------------------------------

trust_gate() {
  local gates ca
  gates=$(needed POOLGATE_GATES)
  ca=$(setting POOLGATE_USER_CA_FILE)
  if [ -n "$ca" ]; then ca=$(cat "$ca"); else ca=$(wait_secret user-ca-public); fi
  ssh-keygen -l -f - <<<"$ca" >/dev/null || die "the gate's user CA is no public key"
  printf '%s\n' "$ca" | put 0644 /etc/ssh/poolgate_user_ca.pub
  local text
  text=$(sed "s/192\\.0\\.2\\.10/$gates/" "$(sshd_source)")
  # Known from OpenSSH 9.8 on; an older sshd would not start with it.
  if sshd_knows PerSourcePenaltyExemptList=127.0.0.1; then
    text=${text//#PerSourcePenaltyExemptList/PerSourcePenaltyExemptList}
  fi
  printf '%s\n' "$text" | put 0644 /etc/ssh/sshd_config.d/10-poolgate.conf
  mkdir -p /run/sshd
  /usr/sbin/sshd -t || die "sshd refuses its config"
  if [ "$(setting POOLGATE_HOLD_SSH no)" = yes ]; then
    local unit
    # No logins before this machine is set up, at each start.
    for unit in ssh.service ssh.socket; do
      printf '[Unit]\nConditionPathExists=%s\n' "$READY" | put 0644 "/etc/systemd/system/$unit.d/10-poolgate.conf"
    done
  fi
}

# Asked with a config of its own, so that nothing else can be what it refuses.
sshd_knows() { mkdir -p /run/sshd; ssh_keys_exist && /usr/sbin/sshd -t -f /dev/null -o "$1" 2>/dev/null; }
ssh_keys_exist() { compgen -G '/etc/ssh/ssh_host_*_key' >/dev/null || ssh-keygen -A >/dev/null; }

# --- the metadata service -----------------------------------------------------------------------------------------------

# Whoever reaches 169.254.169.254 gets tokens of this machine's identity. Root has to, and the load probe asks it about
# evictions; the name service on 168.63.129.16 stays open to all.
keep_from_metadata() {
  put 0644 /etc/poolgate/metadata.nft <<RULES
table inet poolgate_metadata
delete table inet poolgate_metadata
table inet poolgate_metadata {
  chain output {
    type filter hook output priority 0; policy accept;
    meta skuid { 0, $(id -u poolgate-probe) } accept
    ip daddr 169.254.169.254 reject
    ip daddr 168.63.129.16 tcp dport { 80, 32526 } reject
  }
}
RULES
}

load_metadata_rules() {
  nft -f /etc/poolgate/metadata.nft || die "people cannot be kept from the metadata service: nft refuses /etc/poolgate/metadata.nft"
}

# --- people -------------------------------------------------------------------------------------------------------------

login_hook() {
  put 0644 /usr/share/pam-configs/poolgate <<'PROFILE'
Name: folders of a pool's people
Default: yes
Priority: 0
Session-Type: Additional
Session:
	optional	pam_exec.so quiet type=open_session /opt/poolgate/setup/at-login.sh
PROFILE
  grep -q poolgate/setup/at-login /etc/pam.d/common-session 2>/dev/null ||
    { DEBIAN_FRONTEND=noninteractive pam-auth-update --package --enable poolgate; changed "/etc/pam.d/common-session"; }
  grep -q poolgate/setup/at-login /etc/pam.d/common-session || die "pam-auth-update did not take /usr/share/pam-configs/poolgate"
}

# The people file: NAME:UID:PASSWORD-HASH:GROUPS:FULL NAME, a line each, root's alone; the same on every instance.
sync_people() {
  [ "$(setting POOLGATE_PEOPLE share)" = share ] || return 0
  local lines done=/run/poolgate-people.done name uid hash groups full seen=" " count=0
  lines=$(people_lines)
  # A file that lost its lines is a mistake, and no reason to shut everybody out.
  [ -n "$lines" ] || return 0
  [ "$lines" != "$(cat "$done" 2>/dev/null)" ] || return 0
  while IFS=: read -r name uid hash groups full; do
    count=$((count + 1))
    [ "$count" -le "$PEOPLE_MAX" ] || die "the people file has more than $PEOPLE_MAX people"
    seen+="$name "
    person "$name" "$uid" "$hash" "$groups" "$full" || say "the people file: \"$name\" is left out"
  done <<<"$lines"
  expire_others "$seen"
  (umask 077 && printf '%s\n' "$lines" >"$done")
}

expire_others() { # " NAME NAME "
  local seen=$1
  local member members
  members=$(getent group "$(group)" | cut -d: -f4)
  for member in ${members//,/ }; do
    case $seen in *" $member "*) continue ;; esac
    gpasswd -d "$member" "$(group)" >/dev/null
    usermod --expiredate 1 "$member"
    changed "account $member, which is no longer in the people file"
  done
}

person() { # NAME UID HASH GROUPS FULL
  local name=$1 uid=$2 hash=${3:-!} groups=$4 full=$5 home=/home/$1 group have
  is_name "$name" || { say "that is no name of an account"; return 1; }
  is_uid "$uid" || { say "$name: the uid must be from 10000 to 59999"; return 1; }
  [[ $hash =~ ^(!|\*|\$[a-zA-Z0-9./$=,]+)$ ]] || { say "$name: the third field must be a hash as openssl passwd -6 prints, or !"; return 1; }
  full=${full//[^[:alnum:] ._-]/}
  if [ "$(setting POOLGATE_HOMES share)" = share ] && [ "$(setting POOLGATE_SHARE none)" != smb ]; then
    home=$(needed POOLGATE_SHARE_PATH)/home/$name
  fi
  have=$(getent passwd "$name" | cut -d: -f3)
  if [ -z "$have" ]; then
    { getent group "$name" >/dev/null || groupadd --gid "$uid" "$name"; } && useradd --uid "$uid" --gid "$uid" --no-create-home --home-dir "$home" --shell /bin/bash \
      --comment "$full" "$name" || return 1
    changed "account $name"
  elif [ "$have" != "$uid" ]; then
    say "$name has uid $have here and $uid in the people file"
    return 1
  fi
  if [ "$(getent shadow "$name" | cut -d: -f2)" != "$hash" ]; then
    printf '%s:%s\n' "$name" "$hash" | chpasswd -e || return 1
    changed "password of $name"
  fi
  [ -z "$(getent shadow "$name" | cut -d: -f8)" ] || { usermod --expiredate '' "$name"; changed "account $name, which is back"; }
  for group in $(group) ${groups//,/ }; do
    getent group "$group" >/dev/null || { say "$name: there is no group $group here"; continue; }
    id -nG "$name" | tr ' ' '\n' | grep -qxF -- "$group" || { gpasswd -a "$name" "$group" >/dev/null; changed "$name in group $group"; }
  done
}

# --- JupyterHub ---------------------------------------------------------------------------------------------------------

# Whose members may use the hub; anybody with an account where accounts are not ours to make.
hub_group() { if [ "$(setting POOLGATE_PEOPLE share)" = share ]; then group; else setting POOLGATE_GROUP; fi; }

hub_is_off() { [ "$(setting POOLGATE_JUPYTERHUB install)" = off ]; }
hub_bin() { case $(setting POOLGATE_JUPYTERHUB install) in install) echo /opt/poolgate/jupyterhub/bin ;; *) setting POOLGATE_JUPYTERHUB ;; esac; }
hub_proxy() { setting POOLGATE_JUPYTER_PROXY /opt/poolgate/jupyterhub/node_modules/.bin/configurable-http-proxy; }

jupyterhub() {
  hub_is_off && return 0
  local token
  hub_program
  [ -x "$(hub_bin)/jupyterhub" ] || die "POOLGATE_JUPYTERHUB: there is no $(hub_bin)/jupyterhub"
  [ -x "$(hub_proxy)" ] || die "POOLGATE_JUPYTER_PROXY: there is no $(hub_proxy)"
  token=$(setting POOLGATE_HUB_TOKEN_FILE)
  if [ -n "$token" ]; then token=$(cat "$token"); else token=$(wait_secret hub-token); fi
  [ ${#token} -ge 32 ] || die "the hub's token is shorter than 32 characters; openssl rand -hex 32 makes one"
  printf '%s\n' "$token" | put 0600 /etc/poolgate/hub.token
  put 0644 /etc/poolgate/jupyterhub_config.py <"$home/jupyterhub_config.py"
  folder 0700 /var/lib/poolgate-jupyterhub
  # IPython's history is a SQLite file, which would lie in the home.
  put 0644 /etc/ipython/ipython_config.py <<'CONFIG'
import getpass
c.HistoryManager.hist_file = f"/var/lib/poolgate-people/{getpass.getuser()}/history.sqlite"
CONFIG
}

hub_program() {
  [ "$(setting POOLGATE_JUPYTERHUB install)" = install ] || return 0
  local folder=/opt/poolgate/jupyterhub want
  want="${HUB_PINS[*]} $PROXY_PIN"
  [ "$(cat "$folder/installed" 2>/dev/null)" = "$want" ] && return 0
  python3 -m venv "$folder" || die "python3 -m venv $folder failed"
  "$folder/bin/pip" install -q --disable-pip-version-check "${HUB_PINS[@]}" || die "pip could not install ${HUB_PINS[*]}"
  npm install --silent --no-audit --no-fund --prefix "$folder" "$PROXY_PIN" || die "npm could not install $PROXY_PIN"
  printf '%s\n' "$want" | put 0644 "$folder/installed"
}

# --- units --------------------------------------------------------------------------------------------------------------

units() {
  local before=$changes
  put 0644 /etc/systemd/system/poolgate-instance.service <<UNIT
[Unit]
Description=What an instance of a pool needs before it takes people
After=network-online.target remote-fs.target nss-lookup.target
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$home/setup.sh boot
TimeoutStartSec=20min

[Install]
WantedBy=multi-user.target
UNIT
  put 0644 /etc/systemd/system/poolgate-people.service <<UNIT
[Unit]
Description=Accounts as the people file has them
ConditionPathExists=$READY

[Service]
Type=oneshot
ExecStart=$home/setup.sh people
UNIT
  put 0644 /etc/systemd/system/poolgate-people.timer <<'UNIT'
[Unit]
Description=Accounts as the people file has them, each minute

[Timer]
OnBootSec=1min
OnUnitActiveSec=1min

[Install]
WantedBy=timers.target
UNIT
  hub_is_off || hub_unit
  systemctl --quiet enable poolgate-instance.service poolgate-people.timer
  ! has_systemd || [ "$changes" = "$before" ] || systemctl daemon-reload
}

# Started by `boot`, once the drive and the accounts are there.
hub_unit() {
  put 0644 /etc/systemd/system/poolgate-jupyterhub.service <<UNIT
[Unit]
Description=JupyterHub of this instance

[Service]
Environment=POOLGATE_JUPYTERHUB=$(hub_bin) POOLGATE_JUPYTER_PROXY=$(hub_proxy)
Environment=POOLGATE_GATES=$(setting POOLGATE_GATES) POOLGATE_GROUP=$(hub_group) POOLGATE_IDLE_SECONDS=$(setting POOLGATE_IDLE_SECONDS 7200)
WorkingDirectory=/var/lib/poolgate-jupyterhub
ExecStart=$(hub_bin)/jupyterhub -f /etc/poolgate/jupyterhub_config.py
Restart=on-failure
RestartSec=2
# People's servers are its children and outlive it.
KillMode=process
TimeoutStopSec=30
UNIT
}

# --- each start ---------------------------------------------------------------------------------------------------------

boot() {
  rm -f "$READY"
  load_metadata_rules
  mount_share
  sync_people
  if has_systemd; then start_services; else say "systemd does not run here: start sshd and JupyterHub yourself"; fi
  date -u +%FT%TZ >"$READY"
  if has_systemd; then open_ssh; fi
}

start_services() {
  hub_is_off && return 0
  # The image's own hub would hold the port.
  if systemctl --quiet is-active jupyterhub.service; then systemctl disable --now jupyterhub.service; changed "jupyterhub.service of the image, which is off now"; fi
  systemctl start poolgate-jupyterhub.service
  local until own gates
  until=$((SECONDS + 180))
  gates=$(setting POOLGATE_GATES)
  # As in its config: the address that the gate reaches.
  own=$(ip -o route get "${gates%%,*}" | sed -n 's/.* src \([^ ]*\).*/\1/p')
  case $own in *:*) own="[$own]" ;; esac
  until curl -s --fail --noproxy '*' --max-time 5 -o /dev/null "http://$own:8000/hub/health"; do
    [ $SECONDS -lt $until ] || die "JupyterHub does not answer: journalctl -u poolgate-jupyterhub"
    sleep 1
  done
}

open_ssh() {
  if systemctl --quiet is-enabled ssh.socket 2>/dev/null; then systemctl start ssh.socket; fi
  systemctl reload-or-restart ssh.service
}

main "$@"
