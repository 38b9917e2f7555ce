#!/bin/sh
# Makes the base image yuekang/base from Debian's packages alone, where no image can be pulled.
# Needs root, debootstrap and a Docker engine. Elsewhere, name one with its digest (docker/Dockerfile).
set -eu

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates bookworm "$root"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar -C "$root" -c . | docker import - yuekang/base
