"""What every process needs: settings, logs, MongoDB, JetStream, gRPC, metrics, shutdown. No business terms."""
