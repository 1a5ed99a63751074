#!/bin/sh
# Prints the Secrets of a new installation with the components mongodb and nats, with a login for each service:
#   ./make-secrets.sh | kubectl create -f -
# `create` fails if they exist already: with other MASTER_KEYS, the stored platform credentials could not be decrypted.
set -eu
namespace=$(sed -n 's/^namespace: //p' "$(dirname "$0")/kustomization.yaml")
word() { echo "p$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"; }
base64_of() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
members=mongodb-0.mongodb:27017,mongodb-1.mongodb:27017,mongodb-2.mongodb:27017
options='replicaSet=rs0&authSource=admin&tls=true&tlsCAFile=/etc/catalog-exports/tls/ca.crt'
mongodb() { echo "mongodb://$1:$2@$members/?$options"; }
nats() { echo "tls://$1:$2@nats-0.nats:4222,tls://$1:$2@nats-1.nats:4222,tls://$1:$2@nats-2.nats:4222"; }
exporter=$(word) delivery=$(word) scheduler=$(word) system=$(word)
cat <<END
apiVersion: v1
kind: Secret
metadata:
  name: catalog-exports
  namespace: $namespace
stringData:
  GATEWAY_MONGODB_URI: $(mongodb gateway "$(word)")
  EXPORTER_MONGODB_URI: $(mongodb exporter "$(word)")
  DELIVERY_MONGODB_URI: $(mongodb delivery "$(word)")
  SCHEDULER_MONGODB_URI: $(mongodb scheduler "$(word)")
  BACKUP_MONGODB_URI: $(mongodb backup "$(word)")
  MONITORING_MONGODB_URI: $(mongodb monitoring "$(word)")
  EXPORTER_NATS_URL: $(nats exporter "$exporter")
  DELIVERY_NATS_URL: $(nats delivery "$delivery")
  SCHEDULER_NATS_URL: $(nats scheduler "$scheduler")
  SIGNING_KEY: $(word)
  MASTER_KEYS: 1:$(base64_of 32)
---
apiVersion: v1
kind: Secret
metadata:
  name: mongodb
  namespace: $namespace
stringData:
  keyfile: $(base64_of 512)
---
apiVersion: v1
kind: Secret
metadata:
  name: nats
  namespace: $namespace
stringData:
  NATS_EXPORTER_PASSWORD: $exporter
  NATS_DELIVERY_PASSWORD: $delivery
  NATS_SCHEDULER_PASSWORD: $scheduler
  NATS_SYSTEM_PASSWORD: $system
  NATS_SYSTEM_URL: $(nats system "$system")
END
