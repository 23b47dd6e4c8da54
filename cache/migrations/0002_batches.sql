-- What was published when, and what each source said about asking again.
CREATE TABLE price_batches (
    scope_id INTEGER NOT NULL REFERENCES price_scopes (id),
    at BIGINT NOT NULL,
    stored_at BIGINT NOT NULL,
    offers INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    held INTEGER NOT NULL,
    origin TEXT NOT NULL,
    PRIMARY KEY (scope_id, at)
) /*without rowid*/;

-- The last attempt of a source, and of each of its parts.
CREATE TABLE price_sources (
    provider TEXT PRIMARY KEY,
    attempt_at BIGINT NOT NULL,
    success_at BIGINT,
    duration_ms BIGINT NOT NULL DEFAULT 0,
    outcome TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    sample TEXT NOT NULL DEFAULT ''
);

CREATE TABLE price_parts (
    provider TEXT NOT NULL,
    part TEXT NOT NULL,
    at BIGINT NOT NULL,
    validators TEXT NOT NULL DEFAULT '{}',
    scopes TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (provider, part)
);
