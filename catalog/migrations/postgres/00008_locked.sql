-- +goose Up

-- Whether there is a lock, beside when it ends: only the former is in an index, so
-- that refreshing a lock changes no index. An update that changes none, and finds
-- room in its page, disturbs only transactions that have read the same row; hence
-- the room.
ALTER TABLE nodes ADD COLUMN locked BIGINT NOT NULL DEFAULT 0;
UPDATE nodes SET locked = 1 WHERE locked_until > 0;
DROP INDEX nodes_locked;
CREATE INDEX nodes_locked ON nodes (site) WHERE locked > 0;
ALTER TABLE nodes SET (fillfactor = 70);
