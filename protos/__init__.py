"""The protocol between the services, and the command that makes its Python code."""
