-- +goose Up

-- What files were or are to be converted to. It is the queue of conversions too.
CREATE TABLE renditions (
    id       TEXT PRIMARY KEY,
    site     TEXT NOT NULL,
    node     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    target   TEXT NOT NULL,
    options  TEXT NOT NULL,
    state    TEXT NOT NULL,
    segment  TEXT NOT NULL,
    size     INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    worker   TEXT NOT NULL,
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    UNIQUE (node, revision, target, options)
);
CREATE INDEX renditions_due ON renditions (state, due);

-- Requests for conversions, each with one or more renditions.
CREATE TABLE jobs (
    id         TEXT PRIMARY KEY,
    site       TEXT NOT NULL,
    node       TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    owner      TEXT NOT NULL,
    location   TEXT NOT NULL,
    renditions TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL
);
CREATE INDEX jobs_node ON jobs (node, revision);
CREATE INDEX jobs_expires ON jobs (expires);

-- Callbacks that are to be made when a job is over.
CREATE TABLE deliveries (
    id       TEXT PRIMARY KEY,
    job      TEXT NOT NULL,
    url      TEXT NOT NULL,
    targets  TEXT NOT NULL,
    state    TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    epoch    INTEGER NOT NULL
);
CREATE INDEX deliveries_job ON deliveries (job);
CREATE INDEX deliveries_due ON deliveries (state, due);
