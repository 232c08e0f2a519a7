# shellcheck shell=bash
# What the set-up of the gate and of instances share: settings, files written only when they differ, the shared drive,
# secrets of a Key Vault. Sourced by bash with `set -euo pipefail`; it does nothing by itself.
#
# Settings are lines KEY=VALUE and are read, never executed. Secrets go through standard input and files of mode 0600, never
# through an argument list that every account of the machine could read.

shopt -s lastpipe   # so that `... | put` counts in this shell
changes=0

say()     { printf 'poolgate-setup: %s\n' "$*" >&2; }
die()     { say "FAILED: $*"; exit 1; }
changed() { changes=$((changes + 1)); say "changed $*"; }

readonly KEYS=" POOLGATE_GATES POOLGATE_GROUP POOLGATE_HOLD_SSH POOLGATE_HOMES POOLGATE_HUB_TOKEN_FILE POOLGATE_IDENTITY \
POOLGATE_IDLE_SECONDS POOLGATE_JUPYTERHUB POOLGATE_JUPYTER_PROXY POOLGATE_PEOPLE POOLGATE_SHARE POOLGATE_SHARE_ACCOUNT \
POOLGATE_SHARE_KEY_FILE POOLGATE_SHARE_PATH POOLGATE_SHARE_SOURCE POOLGATE_USER_CA_FILE POOLGATE_VAULT \
POOLGATE_VAULT_PATIENCE_S POOLGATE_ACME_TERMS_AGREED POOLGATE_ADMINS POOLGATE_CAPACITY POOLGATE_CLOUD POOLGATE_DOMAIN \
POOLGATE_GATE_VAULT POOLGATE_INSTANCES_MAX POOLGATE_PACKAGE_SHA256 POOLGATE_PACKAGE_URL POOLGATE_RESOURCE_GROUP \
POOLGATE_SCALE_SET POOLGATE_SUBSCRIPTION POOLGATE_TIME_ZONE "

# read_settings FILE: fills the table of settings; a key that is not in the list above is a mistake.
declare -A settings=()
read_settings() {
  local file=$1 line key
  [ -r "$file" ] || die "no settings in $file; deploy/azure/README.md lists them"
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in '' | '#'*) continue ;; esac
    key=${line%%=*}
    case $KEYS in *" $key "*) ;; *) die "$file: unknown key $key; known are:$KEYS" ;; esac
    settings[$key]=${line#*=}
  done <"$file"
}

# setting KEY [DEFAULT]
setting() { printf '%s' "${settings[$1]:-${2:-}}"; }

# needed KEY: the same, and a mistake where it is empty.
needed() {
  [ -n "${settings[$1]:-}" ] || die "$1 is not set; deploy/azure/README.md says what it is"
  printf '%s' "${settings[$1]}"
}

# one_of KEY DEFAULT WORD...: dies where the setting is none of the words.
one_of() {
  local key=$1 value word
  value=$(setting "$1" "$2")
  shift 2
  for word in "$@"; do [ "$value" = "$word" ] && { printf '%s' "$value"; return; }; done
  die "$key is \"$value\"; it must be one of: $*"
}

# begin FILE: as root, with these settings, and no other run of it at the same time.
begin() {
  [ "$(id -u)" = 0 ] || die "it must run as root"
  umask 022
  read_settings "$1"
  check_words
  exec 9>/run/poolgate-setup.lock
  flock -w 600 9 || die "another run of it has not ended in ten minutes"
}

# put MODE FILE: standard input becomes FILE, whole or not at all, and only where it is not so already.
put() {
  local mode=$1 file=$2 new
  [ -d "${file%/*}" ] || install -d -m 0755 "${file%/*}"
  new=$(mktemp "$file.new.XXXXXX")
  cat >"$new"
  chmod "$mode" "$new"
  if [ -f "$file" ] && [ ! -L "$file" ] && cmp -s "$new" "$file" && [ "0$(stat -c %a "$file")" = "$mode" ]; then
    rm -f "$new"
  else
    mv -fT "$new" "$file"
    changed "$file"
  fi
}

# folder MODE PATH: makes it root's.
folder() {
  if [ ! -d "$2" ] || [ "0$(stat -c %a "$2")" != "$1" ]; then
    install -d -m "$1" -o root -g root "$2"
    changed "$2"
  fi
}

# Mistakes in settings that are words, before anything is done.
check_words() {
  one_of POOLGATE_SHARE none nfs smb none >/dev/null
  one_of POOLGATE_HOMES share share local >/dev/null
  one_of POOLGATE_PEOPLE share share off >/dev/null
  one_of POOLGATE_HOLD_SSH no yes no >/dev/null
  needed POOLGATE_SHARE_PATH >/dev/null
}

# people_lines: the lines of the people file on the drive, once it is one that only root could have written.
people_lines() {
  local path file
  path=$(needed POOLGATE_SHARE_PATH)
  file=$path/poolgate/people
  if [ "$(setting POOLGATE_SHARE none)" != none ] && ! is_mounted "$path"; then die "the shared drive is not mounted at $path"; fi
  if ! timeout 10 test -f "$file"; then
    say "there is no $file yet: nobody has an account"
    return 0
  fi
  [ "$(stat -c '%u' "$file")" = 0 ] || die "$file must be root's; run: chown root $file"
  [ $((8#$(stat -c '%a' "$file") & 8#022)) = 0 ] || die "$file must be writable for root alone; run: chmod 600 $file"
  timeout 10 grep -v -e '^#' -e '^$' "$file" | head -n "$((PEOPLE_MAX + 1))" || true
}
readonly PEOPLE_MAX=10000

is_name() { [[ $1 =~ ^[a-z_][a-z0-9_-]{0,31}$ ]]; }
is_uid() { [[ $1 =~ ^[0-9]{5}$ ]] && [ "$1" -ge 10000 ] && [ "$1" -lt 60000 ]; }

has_systemd() { [ -d /run/systemd/system ]; }

# packages NAME...: installs what is missing.
packages() {
  local name missing=()
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  # A machine that has just booted may be busy with upgrades of its own.
  apt-get -q -o DPkg::Lock::Timeout=600 update >/dev/null || die "apt-get update failed: has this machine a way out to its mirror?"
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install ${missing[*]} failed"
  changed "packages ${missing[*]}"
}

# --- Key Vault, as the identity of this machine -------------------------------------------------------------------------

# Which setting names the vault to ask.
vault_key=POOLGATE_VAULT
readonly IMDS=http://169.254.169.254/metadata/identity/oauth2/token

vault_token() {
  local vault audience
  vault=$(needed "$vault_key")
  # https://NAME.vault.azure.net is a host of the audience https://vault.azure.net, and likewise in the other clouds.
  audience="https://${vault#https://*.}"
  curl -sS --fail --noproxy '*' --max-time 10 -H Metadata:true -G "$IMDS" --data-urlencode api-version=2018-02-01 \
    --data-urlencode "resource=$audience" --data-urlencode "client_id=$(needed POOLGATE_IDENTITY)" |
    jq -er .access_token
}

# vault METHOD SECRET [BODY-FILE]: prints the answer's body and then its status on a line of its own.
vault() {
  local method=$1 name=$2 body=${3:-} token vault more=()
  vault=$(needed "$vault_key")
  case $vault in https://* | http://127.0.0.1:*) ;; *) die "$vault_key must begin with https://" ;; esac
  token=$(vault_token) || { printf '{"error":{"code":"no token of this machine'"'"'s identity"}}\n000'; return 0; }
  [ -z "$body" ] || more=(-H 'Content-Type: application/json' --data-binary "@$body")
  curl -sS --max-time 20 -X "$method" -H @<(printf 'Authorization: Bearer %s' "$token") "${more[@]}" \
    -w '\n%{http_code}' "$vault/secrets/$name?api-version=7.4" || printf '\n000'
}

# secret NAME: prints it. Status 3 if the vault has none of this name. New rights take minutes to be known everywhere, so
# every other answer is tried again, for POOLGATE_VAULT_PATIENCE_S (900) seconds.
secret() {
  local name=$1 answer status until
  until=$((SECONDS + $(setting POOLGATE_VAULT_PATIENCE_S 900)))
  while :; do
    answer=$(vault GET "$name")
    status=${answer##*$'\n'}
    answer=${answer%$'\n'*}
    case $status in
      200) printf '%s' "$answer" | jq -er .value && return 0; die "the vault's answer for $name has no value" ;;
      404) return 3 ;;
    esac
    [ $SECONDS -lt $until ] ||
      die "the vault refuses $name (status $status, $(jq -r '.error.code // "no reason"' <<<"$answer" 2>/dev/null || echo 'no reason')): has this machine's identity its role?"
    say "the vault does not give $name yet (status $status); trying again"
    sleep 5
  done
}

# wait_secret NAME: the same where another machine is about to write it.
wait_secret() {
  local until status
  until=$((SECONDS + $(setting POOLGATE_VAULT_PATIENCE_S 900)))
  while :; do
    status=0
    secret "$1" || status=$?
    [ "$status" = 3 ] || return "$status"
    [ $SECONDS -lt $until ] || die "the vault has no secret $1: has the gate been set up?"
    say "the vault has no secret $1 yet; trying again"
    sleep 5
  done
}

# keep_secret NAME FILE: writes the file's content to the vault.
keep_secret() {
  local body answer
  body=$(mktemp)
  jq -n --rawfile value "$2" '{value: $value}' >"$body"
  answer=$(vault PUT "$1" "$body")
  rm -f "$body"
  [ "${answer##*$'\n'}" = 200 ] || die "the vault did not take $1 (status ${answer##*$'\n'})"
  changed "secret $1 in the vault"
}

# --- the shared drive ---------------------------------------------------------------------------------------------------

readonly CREDENTIALS=/etc/poolgate/share.credentials

# Options of an SMB mount whose files belong to one account; Azure's SMB shares know no owners of files.
smb_options() { # UID GID DIR-MODE FILE-MODE
  printf '%s' "vers=3.1.1,seal,credentials=$CREDENTIALS,uid=$1,gid=$2,forceuid,forcegid,dir_mode=$3,file_mode=$4,serverino,cache=strict,actimeo=30,nosuid,nodev"
}

share_options() {
  case $(setting POOLGATE_SHARE none) in
    nfs) echo "nfs vers=4.1,sec=sys,nconnect=4,hard,nosuid,nodev,_netdev,nofail,x-systemd.mount-timeout=30" ;;
    # The whole drive is root's; people's own folders are mounted for them one by one, at login.
    smb) echo "cifs $(smb_options 0 0 0711 0600),_netdev,nofail,x-systemd.mount-timeout=30" ;;
    none) ;;
  esac
}

# Writes the drive's line of fstab, in place of any other for that folder.
share_in_fstab() {
  local path source options new
  path=$(needed POOLGATE_SHARE_PATH)
  options=$(share_options)
  [ -n "$options" ] || return 0
  source=$(needed POOLGATE_SHARE_SOURCE)
  case "$source$path" in *[[:space:]]*) die "POOLGATE_SHARE_SOURCE and POOLGATE_SHARE_PATH must hold no spaces" ;; esac
  new=$(awk -v path="$path" '$2 != path || /^[[:space:]]*#/' /etc/fstab 2>/dev/null || true
    printf '%s %s %s 0 0\n' "$source" "$path" "$options")
  printf '%s\n' "$new" | put 0644 /etc/fstab
}

# The name and key of the storage account, for SMB alone; from a file of the operator's or from the vault.
share_credentials() {
  [ "$(setting POOLGATE_SHARE none)" = smb ] || return 0
  local account key file
  account=$(needed POOLGATE_SHARE_ACCOUNT)
  file=$(setting POOLGATE_SHARE_KEY_FILE)
  if [ -n "$file" ]; then key=$(cat "$file"); else key=$(wait_secret storage-key); fi
  [ -n "$key" ] || die "the key of the storage account $account is empty"
  printf 'username=%s\npassword=%s\n' "$account" "$key" | put 0600 "$CREDENTIALS"
}

is_mounted() { timeout 10 mountpoint -q "$1"; }

mount_share() {
  local path until
  path=$(needed POOLGATE_SHARE_PATH)
  [ -d "$path" ] || { mkdir -p "$path" && changed "$path"; }
  [ "$(setting POOLGATE_SHARE none)" != none ] || return 0
  until=$((SECONDS + 300))
  until is_mounted "$path"; do
    timeout 60 mount "$path" && { changed "the mount of $path"; continue; }
    [ $SECONDS -lt $until ] || die "the shared drive cannot be mounted at $path"
    say "the shared drive is not there yet; trying again"
    sleep 5
  done
}
