"""The scheduler service; see ARCHITECTURE.md for when it comes."""
