#!/bin/sh
# Runs the program with the image's files as its whole world: check.sh ROOT ENTRYPOINT FEDERATION, in namespaces of its
# own, with nothing but the state directory to write to. It must observe the federation and answer for it.
set -eu
root=$1 entrypoint=$2 federation=$3

mkdir -p "$root/federation" "$root/proc" "$root/dev"
cp -R "$federation/." "$root/federation"
touch "$root/dev/null" "$root/dev/random" "$root/dev/urandom"
mount --bind "$root" "$root"
# What every container runtime brings, and nothing more.
mount -t proc proc "$root/proc"
for device in null random urandom; do
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind "$root/var/lib/mcdns" "$root/var/lib/mcdns"
mount -o remount,bind,ro "$root"
if touch "$root/anything" 2> /dev/null; then
    echo "the root file system can be written" >&2
    exit 1
fi
ip link set lo up
chroot "$root" "$entrypoint" --version
chroot "$root" "$entrypoint" run /federation --hosts /federation/hosts --state-dir /var/lib/mcdns \
    --listen 127.0.0.1:5300 --admin 127.0.0.1:8080 > "$root/var/lib/mcdns/log" 2>&1 &
program=$!
trap 'kill $program 2> /dev/null || true; wait $program || true' EXIT
tries=0
until curl --silent --fail http://127.0.0.1:8080/readyz; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ] || ! kill -0 "$program"; then
        cat "$root/var/lib/mcdns/log" >&2
        echo "it did not become ready" >&2
        exit 1
    fi
    sleep 0.1
done
dig @127.0.0.1 -p 5300 +noall +answer +comments example.com SOA | tee "$root/var/lib/mcdns/answer"
grep -q 'status: NOERROR' "$root/var/lib/mcdns/answer"
grep -q 'SOA' "$root/var/lib/mcdns/answer"
if grep ERROR "$root/var/lib/mcdns/log" >&2; then
    echo "something is missing around it" >&2
    exit 1
fi
