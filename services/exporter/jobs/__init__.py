"""Jobs: their states and storage, the wake-ups of workers, the names of their files, and retention."""
