"""The demo: exports a catalogue in every format over REST, delivers the files, and compares them with the catalogue."""
