#!/bin/sh
# Installs the system packages that Yuekang needs and this machine lacks: with root directly, else
# through sudo. --tests adds what the tests need, --faults what the fault suite needs, --bench what
# builds the benchmark's Java peer, which the tests build too; --view what measures the view.
# PYTHON names the Python to use.
set -eu

python=${PYTHON:-python3}
free_mib_min=3072 # packages, virtual environment and jars, twice what they take

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has "$python" || fail "There is no $python. Install Python 3.11 or newer, or name one: make run PYTHON=python3.12"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
    "Python 3.11 or newer is needed, and $python is $version." \
    "Install one beside it, and name it: make run PYTHON=python3.11"

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
java_is_recent() {
    has "$java" && "$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' |
        { read -r major && [ "$major" -ge 17 ]; }
}

missing=
need() { missing="$missing${missing:+ }$1"; }
"$python" -c 'import ensurepip, venv' 2>/dev/null || need "python$version-venv"
java_is_recent || need openjdk-17-jre-headless
if [ "${1:-}" = --tests ] || [ "${1:-}" = --bench ]; then
    has "${java}c" || need openjdk-17-jdk-headless
fi
has mvn || need maven
has redis-server || need redis-server
has setpriv || need util-linux
has_faketime() { ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; }
if [ "${1:-}" = --tests ] || [ "${1:-}" = --faults ]; then
    has_faketime || need libfaketime
fi
if [ "${1:-}" = --faults ]; then
    has ip || need iproute2
    has unshare && has mount || need "util-linux mount"
fi
if [ "${1:-}" = --view ]; then
    has wrk || need wrk
fi
if [ "${1:-}" = --tests ] || [ "${1:-}" = --view ]; then
    has chromium-headless-shell || need chromium-headless-shell
fi
if [ "${1:-}" = --tests ]; then
    [ -d /usr/share/fonts/opentype/noto ] || need fonts-noto-cjk
fi

if [ -n "$missing" ] || ! [ -f .venv/stamp ]; then
    free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
    [ "$free_mib" -ge "${FREE_MIB_MIN:-$free_mib_min}" ] || fail \
        "The disk of $(pwd) has $free_mib MiB free; setting up needs ${FREE_MIB_MIN:-$free_mib_min}. Free some, and run it again."
fi
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends $missing"
has apt-get || fail "Missing: $missing. This machine has no apt-get; install them by its own means."
if [ "$(id -u)" -eq 0 ]; then
    sudo=
elif has sudo && sudo -n true 2>/dev/null; then
    sudo=sudo
else
    fail "Missing: $missing. You are not root and cannot use sudo here without a password. Run" \
        "    sudo apt-get update && sudo $install" \
        "and then this again."
fi
echo "Installing $missing ..."
# sudo keeps no variables; env passes this one on.
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get -o Acquire::Retries=3 -qq update
$sudo env DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
