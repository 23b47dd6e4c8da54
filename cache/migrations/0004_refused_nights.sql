-- When the count of refusals in a row last rose: attempts within one night count once.
ALTER TABLE price_scopes ADD COLUMN refused_at BIGINT;
