-- +goose Up

-- Who does a kind of background work, and until when nobody else does.
CREATE TABLE leases (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  BIGINT NOT NULL
);

-- What is known of the installation as a whole, such as its id.
CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Who reads a site's events goes on from the last sequence number that was
-- seen, so a transaction that commits later must not have a lower one. Numbers
-- are therefore drawn under a lock of the site, which is held until the
-- transaction is over.
ALTER TABLE events ALTER COLUMN seq DROP IDENTITY;
CREATE SEQUENCE events_seq OWNED BY events.seq;
-- +goose StatementBegin
CREATE FUNCTION number_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq IS NULL THEN
        PERFORM pg_advisory_xact_lock(1902078569, hashtext(NEW.site));
        NEW.seq := nextval('events_seq');
    END IF;
    RETURN NEW;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER events_number BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION number_event();
