#!/bin/sh
# Runs a broker in a container: under the name kafka, with its data in the folder /data.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
libs=$here/../../.run/kafka/libs
config=/data/server.properties

cp "$here/server.properties" "$config"
cat >>"$config" <<END
listeners=BROKER://:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=BROKER://kafka:9092
controller.quorum.voters=1@127.0.0.1:9093
log.dirs=/data/log
END

run() {
    exec java -Xmx512m -XX:MaxDirectMemorySize=128m -XX:+ExitOnOutOfMemoryError \
        "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$libs/*" "$@"
}

if [ ! -e /data/log/meta.properties ]; then
    cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d '=')
    (run kafka.tools.StorageTool format -t "$cluster" -c "$config")
fi
run kafka.Kafka "$config"
