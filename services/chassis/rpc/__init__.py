"""gRPC for every service: servers, clients, TLS, health, and errors that survive the wire."""
