"""What a client asked for, checked before it becomes a job."""
