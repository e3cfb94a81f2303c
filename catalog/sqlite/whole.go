package sqlite

import (
	"context"
	"errors"

	"github.com/quire-docs/quire/catalog"
)

var _ catalog.Whole = (*Driver)(nil)

// Snapshot implements catalog.Whole. There is one writer, so every snapshot is
// the state between two updates.
func (d *Driver) Snapshot(ctx context.Context, f func(catalog.Conn) error) error {
	return d.View(ctx, f)
}

// Tables implements catalog.Whole.
func (d *Driver) Tables(c catalog.Conn) ([]catalog.Table, error) {
	var list []catalog.Table
	err := c.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name <> 'goose_db_version' ORDER BY name`, nil, func(cols []any) error {
		name, _ := cols[0].(string)
		list = append(list, catalog.Table{Name: name})
		return nil
	})
	for i := range list {
		t := &list[i]
		err = errors.Join(err,
			names(c, "SELECT name FROM pragma_table_info($1) ORDER BY cid", t.Name, &t.Columns),
			names(c, "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk", t.Name, &t.Key))
	}
	return list, err
}

func names(c catalog.Conn, query, table string, list *[]string) error {
	return c.Query(query, []any{table}, func(cols []any) error {
		name, _ := cols[0].(string)
		*list = append(*list, name)
		return nil
	})
}

// Counters implements catalog.Whole.
func (d *Driver) Counters(c catalog.Conn) (map[string]int64, error) {
	counters := make(map[string]int64)
	err := c.Query("SELECT name, seq FROM sqlite_sequence", nil, func(cols []any) error {
		name, _ := cols[0].(string)
		counters[name], _ = cols[1].(int64)
		return nil
	})
	return counters, err
}

// SetCounters implements catalog.Whole.
func (d *Driver) SetCounters(c catalog.Conn, counters map[string]int64) error {
	for table, n := range counters {
		if _, err := c.Exec("INSERT INTO sqlite_sequence (name, seq) SELECT $1, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = $1)", table); err != nil {
			return err
		}
		if _, err := c.Exec("UPDATE sqlite_sequence SET seq = $1 WHERE name = $2 AND seq < $1", n, table); err != nil {
			return err
		}
	}
	return nil
}
