# Makes a systemd process 1 of namespaces of its own: nothing that it mounts is seen outside, it reads
# units of the folder $1 alone, and what is not mounted for it is read-only.
set -e
mount --make-rprivate /
mount -o remount,bind,ro / 2>/dev/null || true
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export container=touchstone SYSTEMD_UNIT_PATH="$1" SYSTEMD_LOG_TARGET=console
exec /lib/systemd/systemd --system --unit=lab.target --show-status=no
