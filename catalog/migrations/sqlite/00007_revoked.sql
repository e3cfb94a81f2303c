-- +goose Up

-- Signed links that ended before their time.
CREATE TABLE revoked_links (
    site      TEXT NOT NULL,
    signature TEXT NOT NULL,
    expires   BIGINT NOT NULL,
    PRIMARY KEY (site, signature)
) WITHOUT ROWID;
