-- +goose Up

-- The programs that may ask people for access.
CREATE TABLE clients (
    id        TEXT PRIMARY KEY,
    name      TEXT NOT NULL,
    hash      BLOB NOT NULL,
    redirects TEXT NOT NULL,
    scope     TEXT NOT NULL,
    trusted   INTEGER NOT NULL,
    office    INTEGER NOT NULL,
    created   INTEGER NOT NULL
);

-- What somebody has allowed a program, from the code to the last refresh token.
CREATE TABLE authorizations (
    id         TEXT PRIMARY KEY,
    client     TEXT NOT NULL,
    owner      TEXT NOT NULL,
    scope      TEXT NOT NULL,
    redirect   TEXT NOT NULL,
    challenge  TEXT NOT NULL,
    nonce      TEXT NOT NULL,
    signed_in  INTEGER NOT NULL,
    methods    TEXT NOT NULL,
    created    INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    agent      TEXT NOT NULL,
    addr       TEXT NOT NULL,
    epoch      INTEGER NOT NULL
);
CREATE INDEX authorizations_owner ON authorizations (owner, created);
CREATE INDEX authorizations_client ON authorizations (client);
CREATE INDEX authorizations_expires ON authorizations (expires);

-- What somebody need not be asked again.
CREATE TABLE consents (
    owner   TEXT NOT NULL,
    client  TEXT NOT NULL,
    scope   TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (owner, client)
);

-- The second factor of a user's sign-in.
CREATE TABLE factors (
    owner     TEXT PRIMARY KEY,
    secret    BLOB NOT NULL,
    confirmed INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    recovery  TEXT NOT NULL,
    created   INTEGER NOT NULL,
    epoch     INTEGER NOT NULL
);

-- Who a user is at an outside provider.
CREATE TABLE outside_identities (
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    owner   TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX outside_identities_owner ON outside_identities (owner);

-- Wrong passwords and codes, to slow down who guesses.
CREATE TABLE failures (
    what  TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    last  INTEGER NOT NULL
);
CREATE INDEX failures_last ON failures (last);

-- How a session's user signed in.
ALTER TABLE sessions ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';
