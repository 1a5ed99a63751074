"""What a file must contain, and whether it does, independent of the exporter's code."""
