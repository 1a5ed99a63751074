"""Files as text, split into records: rows of CSV, documents of JSON."""
