-- Scopes, offers with their newest price, and every change of a price. Moments are seconds since 1970, UTC.
CREATE TABLE price_scopes (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    region TEXT NOT NULL,
    pricing_model TEXT NOT NULL,
    batch_at BIGINT,
    offers INTEGER NOT NULL DEFAULT 0,
    UNIQUE (provider, region, pricing_model)
);

-- price_nano NULL: the newest good batch of the scope does not hold it any more.
-- seen_at NULL: observed with the newest batch; otherwise the price is older than the batch (the newest is held back).
CREATE TABLE price_offers (
    id INTEGER PRIMARY KEY,
    scope_id INTEGER NOT NULL REFERENCES price_scopes (id),
    zone TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    variant TEXT NOT NULL,
    gpu TEXT,
    gpu_name TEXT NOT NULL,
    gpu_count INTEGER NOT NULL,
    price_nano BIGINT,
    currency TEXT NOT NULL,
    source TEXT NOT NULL,
    vcpus INTEGER,
    host_ram_bytes BIGINT,
    disk_bytes BIGINT,
    network_bytes_per_s DOUBLE PRECISION,
    gpu_memory_bytes BIGINT,
    flags TEXT NOT NULL DEFAULT '',
    billing_increment_s INTEGER,
    billing_minimum_s INTEGER,
    billing_when_stopped INTEGER,
    billing_source TEXT,
    seen_at BIGINT,
    UNIQUE (scope_id, instance_type, zone, variant)
);

CREATE INDEX price_offers_by_gpu ON price_offers (gpu, gpu_count);

-- One row a change; price_nano NULL: gone.
CREATE TABLE price_history (
    offer_id INTEGER NOT NULL REFERENCES price_offers (id),
    at BIGINT NOT NULL,
    price_nano BIGINT,
    PRIMARY KEY (offer_id, at)
) /*without rowid*/;
