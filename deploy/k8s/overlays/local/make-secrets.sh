#!/bin/sh
# Makes secrets.env, once: what the gateway signs links with, and what delivery wraps its platforms' secrets with.
set -eu
cd "$(dirname "$0")"
if [ -e secrets.env ]; then
  echo "secrets.env is there already; without its MASTER_KEYS stored platforms could not be read any more" >&2
  exit 1
fi
umask 077
random() { head -c 32 /dev/urandom | base64; }
{
  echo "SIGNING_KEY=$(random)"
  echo "MASTER_KEYS=1:$(random)"
} > secrets.env
