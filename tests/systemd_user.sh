# A user's systemd where the machine has none: root runs it in `unshare -m -p -f`. Arguments: the
# account, its home, a folder with the only units that there are, and a script. Everything ends with
# the script, at once: as a machine that loses its power.
set -eu
account=$1 home=$2 units=$3 script=$4
uid=$(id -u "$account")
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/systemd
mkdir -p /run/systemd/system "/run/user/$uid" /var/lib/systemd/linger
chown "$account" "/run/user/$uid"
chmod 700 "/run/user/$uid"
: > "/var/lib/systemd/linger/$account" # there is no logind to ask for it
# it may make groups of its own below one that is the account's, and nowhere else
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    if [ -w "$tree/cgroup.procs" ]; then
        mkdir -p "$tree/$account"
        chown -R "$account" "$tree/$account"
        echo 0 > "$tree/$account/cgroup.procs"
    fi
done
as() {
    setpriv --reuid "$account" --regid "$account" --clear-groups env -i HOME="$home" \
        XDG_RUNTIME_DIR="/run/user/$uid" PATH="$PATH" NO_COLOR=1 "$@"
}
# with this path nothing but our units is loaded: no service of the machine's starts
as SYSTEMD_UNIT_PATH="$units:$home/.config/systemd/user" /lib/systemd/systemd --user &
for _ in $(seq 100); do
    state=$(as systemctl --user is-system-running 2>/dev/null) || true
    case $state in running | degraded) break ;; esac
    sleep 0.1
done
as sh -eu "$script"
