#!/bin/sh
# Fetches Apache Kafka's jars into the given folder and checks each against jars.sha256: one that
# differs, is missing or is not listed is refused. Does nothing where the folder is right already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
libs=$(cd "$1" && pwd)

right() {
    (cd "$libs" && sha256sum --check --strict --quiet "$here/jars.sha256" >/dev/null 2>&1) &&
        [ "$(find "$libs" -mindepth 1 | wc -l)" -eq "$(wc -l <"$here/jars.sha256")" ]
}

right && exit 0
echo "Fetching Kafka's jars ..."
rm -rf "$libs"
mkdir -p "$libs"
said=$(mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$libs" 2>&1) || {
    echo "Maven cannot fetch them:" >&2
    echo "$said" >&2
    exit 1
}
if ! right; then
    echo "Kafka's jars in $libs are not those that docker/kafka/jars.sha256 lists:" >&2
    (cd "$libs" && sha256sum --check --quiet "$here/jars.sha256") >&2 || true
    ls "$libs" | while read -r jar; do
        grep -q "  $jar\$" "$here/jars.sha256" || echo "$jar: not listed" >&2
    done
    exit 1
fi
