#!/usr/bin/env bash
# A fleet of LXD machines for Poolgate: provider = "command", command = ["/usr/local/lib/poolgate/lxd.sh", "PREFIX", "IMAGE"].
# Reads one request from stdin and answers on stdout; docs/fleet-command.md has the contract. Needs lxc and jq.
# Machines are called PREFIX-1, PREFIX-2, ... and nothing else is touched. LXC names another client, such as "incus".
set -euo pipefail

prefix=${1:?the beginning of the machines\' names}
image=${2:?the image to launch, such as images:debian/12}
lxc=${LXC:-lxc}

# refuse KIND MESSAGE: says why and ends; KIND is one of the contract's.
refuse() {
  jq -cn --arg kind "$1" --arg message "$2" '{error: {kind: $kind, message: $message}}'
  exit 1
}

list() {
  "$lxc" list --format json "^${prefix}-[0-9]+\$" | jq -c '
    def phase: {Running: "running", Stopped: "deallocated", Starting: "booting", Stopping: "stopping", Error: "failed"}[.status] // "running";
    def address: [.state.network // {} | to_entries[] | select(.key != "lo") | .value.addresses[]
      | select(.family == "inet" and .scope == "global") | .address][0];
    {machines: map({name: .name, id: .config["volatile.uuid"], phase: phase, address: address, created: .created_at})}'
}

# Launches until there are CAPACITY machines, under the lowest free numbers.
grow() {
  local capacity=$1 taken number=0 count
  taken=$("$lxc" list --format json "^${prefix}-[0-9]+\$" | jq -r '.[].name')
  count=$(grep -c . <<<"$taken" || true)
  while [ "$count" -lt "$capacity" ]; do
    number=$((number + 1))
    grep -qx -- "$prefix-$number" <<<"$taken" && continue
    "$lxc" launch "$image" "$prefix-$number" </dev/null >&2 || refuse transient "lxc launch $prefix-$number failed"
    count=$((count + 1))
  done
}

# each COMMAND...: runs lxc with COMMAND and the name of each machine in the request.
each() {
  local name
  jq -er '.machines[]' <<<"$request" | while read -r name; do
    [[ $name =~ ^${prefix}-[0-9]+$ ]] || refuse fatal "$name is none of mine"
    "$lxc" "$@" "$name" </dev/null >&2 || refuse transient "lxc $1 $name failed"
  done
}

read -r request || refuse fatal "no request"
case $(jq -r .request <<<"$request") in
  list) list ;;
  grow) grow "$(jq -er .capacity <<<"$request")" ;;
  remove) each delete --force ;;
  start) each start ;;
  stop) each stop ;;
  *) refuse fatal "no such request" ;;
esac
