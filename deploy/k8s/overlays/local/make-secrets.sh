#!/bin/sh
# Creates secrets.env once: the key that signs links and the master key for the platforms' secrets.
set -eu
cd "$(dirname "$0")"
if [ -e secrets.env ]; then
  echo "secrets.env already exists; without its MASTER_KEYS the stored platform credentials could not be decrypted" >&2
  exit 1
fi
umask 077
random() { head -c 32 /dev/urandom | base64; }
{
  echo "SIGNING_KEY=$(random)"
  echo "MASTER_KEYS=1:$(random)"
} > secrets.env
