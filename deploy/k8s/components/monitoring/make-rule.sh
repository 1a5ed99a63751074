#!/bin/sh
# Makes prometheus-rule.yaml of deploy/monitoring/alerts.yaml, which is Prometheus' own form. A test compares the two.
set -eu
cd "$(dirname "$0")"
{
  echo "# Made by make-rule.sh from deploy/monitoring/alerts.yaml; change that."
  echo "apiVersion: monitoring.coreos.com/v1"
  echo "kind: PrometheusRule"
  echo "metadata:"
  echo "  name: catalog-exports"
  echo "spec:"
  sed -e '/^#/d' -e 's/^./  &/' ../../../monitoring/alerts.yaml
} > prometheus-rule.yaml
