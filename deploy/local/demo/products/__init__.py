"""The demo catalogue: products that are as awkward as real ones, always the same."""
