"""Runs the workloads of overlays/local on one machine with podman, from the same manifests as in a cluster."""
