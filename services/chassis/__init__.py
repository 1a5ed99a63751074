"""How a process runs: settings, logs, MongoDB, JetStream, gRPC, metrics, shutdown. It knows no business word."""
