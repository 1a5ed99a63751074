"""One command that shows the whole: a catalogue, every format of it over REST, and each file read back and compared."""
