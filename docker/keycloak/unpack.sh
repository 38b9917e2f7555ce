#!/bin/sh
# Fetches Keycloak into the given folder, for the tests alone, and unpacks it once its zip is the one
# of zip.sha256. Does nothing where that was done already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
home=$(cd "$1" && pwd)

cmp -s "$here/zip.sha256" "$home/unpacked" && exit 0
echo "Fetching Keycloak ..."
rm -rf "$home"
mkdir -p "$home"
said=$(mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$home" 2>&1) || {
    echo "Maven cannot fetch it:" >&2
    echo "$said" >&2
    exit 1
}
(cd "$home" && sha256sum --check --strict --quiet "$here/zip.sha256") || {
    echo "What Maven brought is not the Keycloak of docker/keycloak/zip.sha256." >&2
    exit 1
}
"${PYTHON:-python3}" -m zipfile -e "$home"/*.zip "$home"
rm "$home"/*.zip
mv "$home"/keycloak-*/* "$home"
rmdir "$home"/keycloak-*
cp "$here/zip.sha256" "$home/unpacked"
