#!/usr/bin/env bash
# A fleet for tests (docs/fleet-command.md) that takes its time to delete machines: slow_fleet.sh FOLDER.
# FOLDER/machines has a file a machine, FOLDER/requests is what was asked, and a deletion waits for FOLDER/go.
set -euo pipefail
folder=$1
read -r request
echo "$request" >>"$folder/requests"
case $(jq -r .request <<<"$request") in
list)
  cd "$folder/machines"
  jq -cn --args '{machines: [$ARGS.positional[] | {name: ., id: ., phase: "running", address: "127.0.0.1"}]}' -- *
  ;;
remove)
  for _ in $(seq 1200); do
    [ ! -e "$folder/go" ] || break
    sleep 0.1
  done
  cd "$folder/machines"
  jq -r '.machines[]' <<<"$request" | xargs rm
  ;;
esac
