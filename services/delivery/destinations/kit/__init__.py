"""What several destinations need: time limits, blocks, requests in flight, error tables, parts that are renamed."""
