-- +goose Up
-- Folders before files, by name: any page of a large folder without reading it.
CREATE INDEX nodes_kind ON nodes (parent, kind, name_key);
