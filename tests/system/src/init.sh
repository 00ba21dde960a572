#!/bin/busybox sh
# Init of the rig's device: mounts, network, data disk, services, and a shell for the rig.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/run

mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
exec </dev/null >/dev/console 2>&1
echo "rig: init after $(cut -d' ' -f1 /proc/uptime) s"

while read -r module; do
    insmod "/lib/modules/$module.ko" || echo "rig: module $module did not load"
done </lib/modules/order

mount -t securityfs security /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t efivarfs efivars /sys/firmware/efi/efivars
mount -t ext4 -o noatime /dev/vdb /data || echo "rig: no data disk"

hostname "$(cat /etc/hostname 2>/dev/null || echo device)"
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2

keep_running() {
    name=$1
    while true; do
        sh "/etc/rig/services/$name" &
        echo $! >"/run/$name.pid"
        wait $!
        echo "rig: $name ended with $?; starting it again"
        sleep 0.5
    done
}
for service in /etc/rig/services/*; do
    [ -f "$service" ] && keep_running "${service##*/}" &
done

# The hand on the device: a root shell on one virtio port, bulk data on another.
for port in /sys/class/virtio-ports/*; do
    case $(cat "$port/name") in
    rig.shell) shell=/dev/${port##*/} ;;
    rig.data) ln -s "/dev/${port##*/}" /run/rig.data ;;
    esac
done
echo "rig: ready after $(cut -d' ' -f1 /proc/uptime) s"
while true; do
    setsid sh 0<>"$shell" 1>&0 2>/dev/null
    sleep 0.2
done
