"""What a job is, where it is stored, and how workers are woken for it."""
