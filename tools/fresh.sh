#!/bin/sh
# ./kb fresh [--keep] [--setup]: tries the README's two commands as root on an empty Debian 12 that
# has only git: a root file system made by debootstrap with this machine's own package sources, and
# a clean clone of HEAD in it. Reports how long each took and how large it became.
#   --keep    leaves the root file system in build/fresh/root
#   --setup   stops after the installation of the packages
# The empty Debian is kept in build/fresh/base.tar; remove that file to make it anew.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib.sh
. "$root/tools/lib.sh"

keep=
setup_only=
for argument; do
    case $argument in
    --keep) keep=1 ;;
    --setup) setup_only=1 ;;
    *) die "usage: ./kb fresh [--keep] [--setup]" ;;
    esac
done

[ "$(id -u)" -eq 0 ] || die "./kb fresh needs root: it mounts /proc and /dev in the new system"
# In a mount name space of its own: whatever ends this script ends its mounts too.
if [ -z "${KB_FRESH_UNSHARED-}" ]; then
    need fresh
    KB_FRESH_UNSHARED=1 exec unshare --mount --propagation private "$0" "$@"
fi

suite=bookworm
place=$root/build/fresh
base=$place/base.tar
system=$place/root
mkdir -p "$place"

release() {
    umount "$system/proc" 2>/dev/null || :
    umount "$system/dev" 2>/dev/null || :
}

cleanup() {
    release
    # Never through a mount that would not go away.
    [ -n "$keep" ] || rm -rf --one-file-system "$system" "$place/base"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Files of this machine that name Debian's own archives (and no other vendor's).
debian_sources() {
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$file" ] || ! grep -Eq "^[^#]*/debian(-security)?/?([[:space:]]|$)" "$file" || echo "$file"
    done
}

mirror() {
    debian_sources | xargs sed -nE 's,^(URIs:|deb .*) *(https?://[^ ]*/debian)/?( .*|$),\2,p' | head -n 1
}

# How apt reaches the archives here: proxies, date checks, retries.
apt_configuration() {
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries|ForceIPv)' || :
}

seconds_since() {
    echo $(($(date +%s) - $1))
}

make_base() {
    archive=$(mirror)
    archive=${archive:-http://deb.debian.org/debian}
    case $archive in
    https:*) extra=git,ca-certificates ;;
    *) extra=git ;;
    esac
    say "debootstrap $suite from $archive"
    begin=$(date +%s)
    rm -rf --one-file-system "$place/base"
    debootstrap --variant=minbase --include=$extra "$suite" "$place/base" "$archive" \
        >"$place/debootstrap.log" 2>&1 || {
        tail -n 20 "$place/debootstrap.log" >&2
        die "debootstrap failed (log: $place/debootstrap.log)"
    }
    rm -f "$place"/base/var/cache/apt/archives/*.deb
    tar -C "$place/base" -cf "$base.tmp" .
    mv "$base.tmp" "$base"
    rm -rf --one-file-system "$place/base"
    echo "  debootstrap: $(seconds_since "$begin") s, $(du -h "$base" | cut -f1)"
}

# What the new system takes over from this one: where packages and names are found.
adopt_network() {
    sources=$(debian_sources)
    if [ -n "$sources" ]; then
        rm -f "$system/etc/apt/sources.list"
        # shellcheck disable=SC2086 # names in /etc/apt have no blanks
        cp $sources "$system/etc/apt/sources.list.d/"
        [ ! -f "$system/etc/apt/sources.list.d/sources.list" ] ||
            mv "$system/etc/apt/sources.list.d/sources.list" "$system/etc/apt/sources.list"
    fi
    cp -a /usr/share/keyrings/debian-archive-* "$system/usr/share/keyrings/" 2>/dev/null || :
    apt_configuration >"$system/etc/apt/apt.conf.d/90host"
    cp -L /etc/resolv.conf /etc/hosts "$system/etc/"
    # Archives that only a local certificate authority vouches for.
    if [ -x "$system/usr/sbin/update-ca-certificates" ] && [ -d /usr/local/share/ca-certificates ]; then
        cp -a /usr/local/share/ca-certificates/. "$system/usr/local/share/ca-certificates/"
        chroot "$system" update-ca-certificates >/dev/null 2>&1 || :
    fi
}

in_system() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
        ${no_proxy:+"no_proxy=$no_proxy"} \
        chroot "$system" sh -c "cd /root/kernbench && $1"
}

# attempt COMMAND: runs it in the new system, reports time and size.
attempt() {
    echo "\$ $1"
    begin=$(date +%s)
    status=0
    in_system "$1" </dev/null || status=$?
    echo "  exit code $status after $(seconds_since "$begin") s; system $(du -shx "$system" | cut -f1)"
    [ "$status" -eq 0 ] || failures=$((failures + 1))
}

release
rm -rf --one-file-system "$system"
[ -f "$base" ] || make_base
mkdir "$system"
tar -C "$system" -xf "$base"
adopt_network
changes=$(git -C "$root" status --porcelain | wc -l)
[ "$changes" -eq 0 ] || say "$changes changes are not committed and so not in the clone"
git clone --quiet --no-hardlinks "$root" "$system/root/kernbench"
mount -t proc proc "$system/proc"
mount --bind /dev "$system/dev"

failures=0
if [ -n "$setup_only" ]; then
    attempt './kb setup run test'
else
    attempt './kb benches/qkv_gemm.lua'
    attempt './kb test'
fi
[ -z "$keep" ] || echo "  kept: $system"
[ "$failures" -eq 0 ]
