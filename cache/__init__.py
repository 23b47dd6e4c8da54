"""What is remembered of prices: the store, the quality gate, freshness, the nightly refresh."""
