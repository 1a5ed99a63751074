"""The workloads of overlays/local on one machine, played by podman from the very manifests that a cluster gets."""
