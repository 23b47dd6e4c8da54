-- The ledger: budgets, what is charged to them, requests, approvals, and the audit chain.
-- Moments are seconds since 1970, UTC; money is micro-dollars.

-- One row: which ledger this is, and where its audit chain ends. latest_at: the newest moment that was recorded.
CREATE TABLE ledger_head (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    ledger_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    latest_at BIGINT NOT NULL
) /*strict*/;

CREATE TABLE ledger_budgets (
    id TEXT PRIMARY KEY,
    period TEXT NOT NULL,
    limit_usd_micro BIGINT NOT NULL CHECK (limit_usd_micro >= 0),
    soft_ppm BIGINT,
    parent TEXT REFERENCES ledger_budgets (id)
) /*strict*/;

-- What is charged to a budget in a period ("2026-11", or "total"): the sums of ledger_charges.
CREATE TABLE ledger_totals (
    budget_id TEXT NOT NULL REFERENCES ledger_budgets (id),
    period_key TEXT NOT NULL,
    pending_usd_micro BIGINT NOT NULL DEFAULT 0 CHECK (pending_usd_micro >= 0),
    posted_usd_micro BIGINT NOT NULL DEFAULT 0 CHECK (posted_usd_micro >= 0),
    PRIMARY KEY (budget_id, period_key)
) /*strict*/;

-- counted_at: when it was made, then when it was reserved: what a day's commitments are summed by.
CREATE TABLE ledger_requests (
    id TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    action_sha256 TEXT NOT NULL,
    plan_sha256 TEXT NOT NULL,
    policy_sha256 TEXT NOT NULL,
    price_snapshot_sha256 TEXT NOT NULL,
    requester_name TEXT NOT NULL,
    requester_assurance TEXT NOT NULL,
    requester_key TEXT NOT NULL,
    cap_usd_micro BIGINT NOT NULL CHECK (cap_usd_micro >= 0),
    budgets TEXT NOT NULL,
    period_keys TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    counted_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    approvals_needed BIGINT NOT NULL,
    launched_at BIGINT,
    ended_at BIGINT,
    launch TEXT NOT NULL DEFAULT '{}',
    settled_usd_micro BIGINT,
    settled_source TEXT
) /*strict*/;

CREATE INDEX ledger_requests_by_state ON ledger_requests (state, expires_at);

CREATE INDEX ledger_requests_by_count ON ledger_requests (counted_at);

CREATE TABLE ledger_charges (
    request_id TEXT NOT NULL REFERENCES ledger_requests (id),
    budget_id TEXT NOT NULL REFERENCES ledger_budgets (id),
    period_key TEXT NOT NULL,
    pending_usd_micro BIGINT NOT NULL CHECK (pending_usd_micro >= 0),
    posted_usd_micro BIGINT NOT NULL CHECK (posted_usd_micro >= 0),
    PRIMARY KEY (request_id, budget_id, period_key)
) /*strict*/;

-- A statement is used once, whatever it decides: its nonce is the key.
CREATE TABLE ledger_approvals (
    nonce TEXT PRIMARY KEY,
    statement_sha256 TEXT NOT NULL UNIQUE,
    number BIGINT NOT NULL UNIQUE,
    request_id TEXT NOT NULL REFERENCES ledger_requests (id),
    decision TEXT NOT NULL,
    approver_name TEXT NOT NULL,
    approver_assurance TEXT NOT NULL,
    approver_key TEXT NOT NULL,
    group_name TEXT NOT NULL,
    given_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) /*strict*/;

CREATE INDEX ledger_approvals_by_request ON ledger_approvals (request_id);

-- Append-only: hash is the SHA-256 of the previous hash and the body.
CREATE TABLE ledger_audit (
    sequence BIGINT PRIMARY KEY CHECK (sequence > 0),
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    previous TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE
) /*strict*/;

/*only sqlite*/ CREATE TRIGGER ledger_audit_no_update BEFORE UPDATE ON ledger_audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

/*only sqlite*/ CREATE TRIGGER ledger_audit_no_delete BEFORE DELETE ON ledger_audit BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

/*only sqlite*/ CREATE TRIGGER ledger_audit_no_replace BEFORE INSERT ON ledger_audit WHEN EXISTS (SELECT 1 FROM ledger_audit WHERE sequence = NEW.sequence OR hash = NEW.hash OR previous = NEW.previous) BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

/*only postgresql*/ CREATE FUNCTION ledger_audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$;

/*only postgresql*/ CREATE TRIGGER ledger_audit_no_change BEFORE UPDATE OR DELETE ON ledger_audit FOR EACH ROW EXECUTE FUNCTION ledger_audit_refuses();

/*only postgresql*/ CREATE TRIGGER ledger_audit_no_truncate BEFORE TRUNCATE ON ledger_audit FOR EACH STATEMENT EXECUTE FUNCTION ledger_audit_refuses();
