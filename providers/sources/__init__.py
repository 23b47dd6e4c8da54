"""One file per live price source, resolved lazily by name."""
