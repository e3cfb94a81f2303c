-- +goose Up
CREATE TABLE sites (
    id       TEXT PRIMARY KEY,
    account  TEXT NOT NULL,
    instance TEXT NOT NULL,
    root     TEXT NOT NULL,
    trash    TEXT NOT NULL,
    quota    BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    viewer   TEXT NOT NULL,
    epoch    BIGINT NOT NULL,
    UNIQUE (account, instance)
);

-- Bytes held by a site, spread over a few rows so that saves to different
-- files do not wait for each other.
CREATE TABLE usage (
    site  TEXT NOT NULL,
    shard BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (site, shard)
);

CREATE TABLE users (
    id        TEXT PRIMARY KEY,
    site      TEXT NOT NULL,
    login     TEXT NOT NULL,
    name      TEXT NOT NULL,
    email     TEXT NOT NULL,
    role      TEXT NOT NULL,
    password  TEXT NOT NULL,
    disabled  BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    info      TEXT NOT NULL,
    login_key TEXT NOT NULL UNIQUE,
    epoch     BIGINT NOT NULL
);
CREATE INDEX users_site ON users (site, login_key);

CREATE TABLE tokens (
    id      TEXT PRIMARY KEY,
    owner   TEXT NOT NULL,
    label   TEXT NOT NULL,
    scope   TEXT NOT NULL,
    hash    BLOB NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    used    BIGINT NOT NULL
);
CREATE INDEX tokens_owner ON tokens (owner, created);

CREATE TABLE nodes (
    id       TEXT PRIMARY KEY,
    site     TEXT NOT NULL,
    parent   TEXT NOT NULL,
    name     TEXT NOT NULL,
    name_key TEXT NOT NULL,
    kind     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    created  BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    size     BIGINT NOT NULL,
    client   BIGINT NOT NULL,
    lock     TEXT NOT NULL,
    -- When its last lock ends; 0 without one.
    locked_until BIGINT NOT NULL,
    trashed  TEXT NOT NULL,
    epoch    BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX nodes_place ON nodes (parent, name_key);
CREATE INDEX nodes_locked ON nodes (site, locked_until) WHERE locked_until > 0;

CREATE TABLE revisions (
    node     TEXT NOT NULL,
    number   BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    size     BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    authors  TEXT NOT NULL,
    door     TEXT NOT NULL,
    kind     TEXT NOT NULL,
    session  TEXT NOT NULL,
    label    TEXT NOT NULL,
    restores BIGINT NOT NULL,
    sum      BLOB NOT NULL,
    manifest BLOB NOT NULL,
    PRIMARY KEY (node, number)
) WITHOUT ROWID;

CREATE TABLE segments (
    id       TEXT PRIMARY KEY,
    size     BIGINT NOT NULL,
    sum      BLOB NOT NULL,
    created  BIGINT NOT NULL,
    -- When the last hold on it was given up; 0 while it is held.
    released BIGINT NOT NULL,
    -- Its bytes, where its id says that they are kept here; else empty.
    data     BLOB NOT NULL
);
CREATE INDEX segments_released ON segments (released) WHERE released > 0;

-- Which file or upload needs which segment. A segment with no row here is
-- garbage once the grace period has passed.
CREATE TABLE holds (
    holder  TEXT NOT NULL,
    segment TEXT NOT NULL,
    PRIMARY KEY (holder, segment)
) WITHOUT ROWID;
CREATE INDEX holds_segment ON holds (segment);

CREATE TABLE uploads (
    id       TEXT PRIMARY KEY,
    site     TEXT NOT NULL,
    owner    TEXT NOT NULL,
    door     TEXT NOT NULL,
    created  BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    life     BIGINT NOT NULL,
    received BIGINT NOT NULL,
    declared BIGINT NOT NULL,
    target   TEXT NOT NULL,
    meta     TEXT NOT NULL,
    done     TEXT NOT NULL,
    epoch    BIGINT NOT NULL
);
CREATE INDEX uploads_owner ON uploads (owner, created);
CREATE INDEX uploads_expires ON uploads (expires);

CREATE TABLE upload_extents (
    upload         TEXT NOT NULL,
    position       BIGINT NOT NULL,
    length         BIGINT NOT NULL,
    segment        TEXT NOT NULL,
    segment_offset BIGINT NOT NULL,
    PRIMARY KEY (upload, position)
) WITHOUT ROWID;

CREATE TABLE grants (
    node     TEXT NOT NULL,
    grantee  TEXT NOT NULL,
    access   BIGINT NOT NULL,
    given_by TEXT NOT NULL,
    created  BIGINT NOT NULL,
    PRIMARY KEY (node, grantee)
) WITHOUT ROWID;
CREATE INDEX grants_grantee ON grants (grantee);

CREATE TABLE links (
    id       TEXT PRIMARY KEY,
    node     TEXT NOT NULL,
    access   BIGINT NOT NULL,
    given_by TEXT NOT NULL,
    created  BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    password TEXT NOT NULL
);
CREATE INDEX links_node ON links (node);

CREATE TABLE properties (
    node    TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    keep    BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (node, name)
);

CREATE TABLE events (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    site   TEXT NOT NULL,
    node   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    path   TEXT NOT NULL,
    time   BIGINT NOT NULL,
    actor  TEXT NOT NULL,
    name   TEXT NOT NULL,
    door   TEXT NOT NULL,
    addr   TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX events_site ON events (site, seq);
CREATE INDEX events_node ON events (node, seq);

-- Background work that is due at a time: thin a file's history, purge a
-- deleted node.
CREATE TABLE chores (
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    due     BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
CREATE INDEX chores_due ON chores (due);

CREATE TABLE keys (
    id      TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    secret  BLOB NOT NULL,
    created BIGINT NOT NULL,
    retires BIGINT NOT NULL
);
CREATE INDEX keys_purpose ON keys (purpose, created);

CREATE TABLE sessions (
    id      TEXT PRIMARY KEY,
    owner   TEXT NOT NULL,
    created BIGINT NOT NULL,
    used    BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    agent   TEXT NOT NULL,
    addr    TEXT NOT NULL,
    secret  BLOB NOT NULL
);
CREATE INDEX sessions_owner ON sessions (owner, created);
CREATE INDEX sessions_expires ON sessions (expires);
