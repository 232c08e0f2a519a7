#!/bin/bash
# What a person finds at login: their home and their folder on the shared drive, and ~/notebooks/remote, which leads to the
# latter. Run as root with PAM_USER set, by pam_exec and before JupyterHub starts a server; harmless any number of times.
#
# Root touches only folders that are root's. All that happens within a person's home is done with the person's own rights,
# so that links they have laid lead it nowhere they could not go themselves. It never fails a login: it says what is wrong.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
here=/opt/poolgate/setup

case ${PAM_TYPE:-open_session} in open_session) ;; *) exit 0 ;; esac
user=${PAM_USER:-}
[[ $user =~ ^[a-z_][a-z0-9_.-]{0,31}$ ]] || exit 0
IFS=: read -r _ _ uid gid _ home _ < <(getent passwd "$user") || exit 0
[[ $uid =~ ^[0-9]+$ ]] && [ "$uid" -ge 1000 ] && [ "$uid" -lt 65534 ] || exit 0

# shellcheck source=deploy/azure/lib.sh
. "$here/lib.sh"
tell() { logger -t poolgate-at-login -- "$user: $*" 2>/dev/null; say "$user: $*"; }

read_settings /etc/poolgate/instance.env
share=$(setting POOLGATE_SHARE none)
path=$(setting POOLGATE_SHARE_PATH)
remote=$path/notebooks/$user

# own FOLDER: makes it the person's if it is not there, in a folder of root's. One that is somebody else's stays so.
own() {
  timeout 10 test -e "$1" || { mkdir -p "${1%/*}" && mkdir -m 0700 "$1" && chown "$uid:$gid" "$1"; } || { tell "cannot make $1"; return 1; }
  [ "$share" = smb ] || [ "$(stat -c %u "$1")" = "$uid" ] || { tell "$1 is not theirs; run: chown $uid:$gid $1"; return 1; }
}

# An SMB share knows no owners: each person's folders are mounted for that person alone.
mount_own() { # FOLDER-ON-THE-DRIVE PLACE
  is_mounted "$2" && return 0
  { mkdir -p "$2" && timeout 30 mount -t cifs -o "$(smb_options "$uid" "$gid" 0700 0700),mfsymlinks" "$(setting POOLGATE_SHARE_SOURCE)/$1" "$2"; } ||
    tell "$1 of the shared drive cannot be mounted at $2"
}

if [ "$share" != none ] && ! is_mounted "$path"; then
  tell "the shared drive is not mounted at $path"
  exit 0
fi
# For what must not lie on the drive: databases, whose locks do not hold there.
own "/var/lib/poolgate-people/$user"
own "$path/notebooks/$user"
if [ "$share" = smb ]; then
  remote=/srv/poolgate/notebooks/$user
  mount_own "notebooks/$user" "$remote"
fi
if [ "$(setting POOLGATE_HOMES share)" = share ] && [ "$share" = smb ]; then
  own "$path/home/$user" && mount_own "home/$user" "$home"
fi
own "$home" || exit 0

# From here on with the person's rights.
# shellcheck disable=SC2016 # that shell's variables, not this one's
setpriv --reuid "$uid" --regid "$gid" --init-groups --inh-caps=-all -- \
  timeout 20 bash -c '
    home=$1 remote=$2 link=$1/notebooks/remote
    cd "$home" || exit 1
    [ -e .profile ] || [ -e .bashrc ] || cp -rn /etc/skel/. .
    mkdir -p notebooks || exit 1
    [ "$(readlink "$link")" = "$remote" ] && exit 0
    if [ -e "$link" ] && [ ! -L "$link" ]; then
      echo "$link is no link; it is left as it is" >&2
      exit 1
    fi
    ln -sfn "$remote" "$link"
  ' at-login "$home" "$remote" || tell "no link $home/notebooks/remote"
exit 0
