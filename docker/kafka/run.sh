#!/bin/sh
# Runs a broker in a container: under the name kafka, with its data in the folder /data.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
libs=$here/../../.run/kafka/libs
config=/data/server.properties

# The super user's password is the container's own; YUEKANG_KAFKA_PASSWORD has it.
login="org.apache.kafka.common.security.plain.PlainLoginModule required username=\"admin\" \
password=\"$YUEKANG_KAFKA_PASSWORD\" user_admin=\"$YUEKANG_KAFKA_PASSWORD\";"
umask 077
cat "$here/server.properties" "$here/closed.properties" >"$config"
cat >>"$config" <<END
listeners=BROKER://:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=BROKER://kafka:9092
controller.quorum.voters=1@127.0.0.1:9093
log.dirs=/data/log
listener.name.broker.plain.sasl.jaas.config=$login
listener.name.controller.plain.sasl.jaas.config=$login
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
