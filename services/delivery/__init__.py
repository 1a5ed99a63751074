"""The delivery service; see ARCHITECTURE.md for when it comes."""
