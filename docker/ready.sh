#!/usr/bin/env bash
# Says by its exit code whether the process of this container answers /readyz on the given port with
# 200. The image has neither curl nor wget.
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ]
