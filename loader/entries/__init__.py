"""Records to entries: which product a record describes, and what it changes."""
