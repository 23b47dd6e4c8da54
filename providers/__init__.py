"""Where prices come from: the price vocabulary, the GPU table, and one file per price source."""
