-- Rows that the gate held back, and what was decided about them.
CREATE TABLE price_quarantine (
    id INTEGER PRIMARY KEY,
    scope_id INTEGER NOT NULL REFERENCES price_scopes (id),
    zone TEXT NOT NULL,
    instance_type TEXT NOT NULL,
    variant TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    family TEXT NOT NULL,
    price_nano BIGINT NOT NULL,
    previous_nano BIGINT,
    offer TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    times INTEGER NOT NULL DEFAULT 1,
    state TEXT NOT NULL DEFAULT 'pending',
    decided_at BIGINT,
    note TEXT NOT NULL DEFAULT ''
);

CREATE INDEX price_quarantine_by_scope ON price_quarantine (scope_id, state);

-- Why the last batch of a scope was refused as a whole, and how often in a row with about as many rows.
ALTER TABLE price_scopes ADD COLUMN refused TEXT NOT NULL DEFAULT '';

ALTER TABLE price_scopes ADD COLUMN refused_offers INTEGER NOT NULL DEFAULT 0;

ALTER TABLE price_scopes ADD COLUMN refused_times INTEGER NOT NULL DEFAULT 0;
