package catalog

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/quire-docs/quire"
)

// record maps a Go struct to the columns of a table. fields returns pointers
// to the struct's parts in the order of the columns; the first keys columns
// are the primary key. Where the last column is "epoch", updates are
// conditional on it.
type record[T any] struct {
	table  string
	cols   []string
	keys   int
	epoch  bool
	fields func(*T) []any

	selects, inserts, updates, upserts, deletes string
}

func newRecord[T any](table, cols string, keys int, fields func(*T) []any) *record[T] {
	r := &record[T]{table: table, cols: strings.Split(cols, " "), keys: keys, fields: fields}
	n := len(r.cols)
	r.epoch = r.cols[n-1] == "epoch"
	list := strings.Join(r.cols, ", ")
	r.selects = "SELECT " + list + " FROM " + table + " "
	marks := make([]string, n)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	r.inserts = "INSERT INTO " + table + " (" + list + ") VALUES (" + strings.Join(marks, ", ") + ")"
	var set, excluded []string
	for i := keys; i < n; i++ {
		set = append(set, fmt.Sprintf("%s = $%d", r.cols[i], i-keys+1))
		excluded = append(excluded, fmt.Sprintf("%s = excluded.%s", r.cols[i], r.cols[i]))
	}
	where := func(from int) string {
		var w []string
		for i := range keys {
			w = append(w, fmt.Sprintf("%s = $%d", r.cols[i], from+i))
		}
		return " WHERE " + strings.Join(w, " AND ")
	}
	if len(set) > 0 {
		r.updates = "UPDATE " + table + " SET " + strings.Join(set, ", ") + where(n-keys+1)
		if r.epoch {
			r.updates += fmt.Sprintf(" AND epoch = $%d", n+1)
		}
		r.upserts = r.inserts + " ON CONFLICT (" + strings.Join(r.cols[:keys], ", ") + ") DO UPDATE SET " + strings.Join(excluded, ", ")
	}
	r.deletes = "DELETE FROM " + table + where(1)
	return r
}

// one returns the single record that the rest of a statement selects.
func (r *record[T]) one(t *Tx, rest string, args ...any) (T, error) {
	var v T
	found := false
	err := t.c.Query(r.selects+rest, plain(args), func(cols []any) error {
		found = true
		return scan(cols, r.fields(&v))
	})
	if err == nil && !found {
		err = quire.ErrNotFound
	}
	return v, err
}

// all returns the records that the rest of a statement selects.
func (r *record[T]) all(t *Tx, rest string, args ...any) ([]T, error) {
	var list []T
	err := t.c.Query(r.selects+rest, plain(args), func(cols []any) error {
		var v T
		if err := scan(cols, r.fields(&v)); err != nil {
			return err
		}
		list = append(list, v)
		return nil
	})
	return list, err
}

func (r *record[T]) insert(t *Tx, v *T) error {
	args, err := binds(r.fields(v))
	if err != nil {
		return err
	}
	_, err = t.c.Exec(r.inserts, args...)
	return err
}

// update writes all columns of a record that exists. With an epoch, it is
// raised in v as well.
func (r *record[T]) update(t *Tx, v *T) error {
	args, err := binds(r.fields(v))
	if err != nil {
		return err
	}
	args = append(args[r.keys:len(args):len(args)], args[:r.keys]...)
	var epoch *int64
	if r.epoch {
		f := r.fields(v)
		epoch = f[len(f)-1].(*int64)
		at := len(r.cols) - r.keys - 1
		args = append(args, args[at])
		args[at] = *epoch + 1
	}
	n, err := t.c.Exec(r.updates, args...)
	switch {
	case err != nil:
		return err
	case n == 0 && r.epoch:
		return ErrRetry
	case n == 0:
		return quire.ErrNotFound
	}
	if r.epoch {
		*epoch++
	}
	return nil
}

func (r *record[T]) upsert(t *Tx, v *T) error {
	args, err := binds(r.fields(v))
	if err != nil {
		return err
	}
	_, err = t.c.Exec(r.upserts, args...)
	return err
}

// remove deletes the record with that key; it is no error if there is none.
func (r *record[T]) remove(t *Tx, key ...any) error {
	_, err := t.c.Exec(r.deletes, plain(key)...)
	return err
}

// asJSON marks a field that is stored as JSON text; the zero value is "".
type asJSON struct{ ptr any }

// derived marks a column that is worked out from the rest of the record when
// it is written, for an index, and not read back.
type derived func() int64

func binds(fields []any) ([]any, error) {
	args := make([]any, len(fields))
	for i, f := range fields {
		v, err := bind(f)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	return args, nil
}

func bind(f any) (any, error) {
	switch p := f.(type) {
	case *string:
		return *p, nil
	case *int64:
		return *p, nil
	case *bool:
		if *p {
			return int64(1), nil
		}
		return int64(0), nil
	case *[]byte:
		if *p == nil {
			return []byte{}, nil
		}
		return *p, nil
	case *time.Time:
		return millis(*p), nil
	case *time.Duration:
		return p.Milliseconds(), nil
	case derived:
		return p(), nil
	case asJSON:
		v := reflect.ValueOf(p.ptr).Elem()
		if v.IsZero() {
			return "", nil
		}
		b, err := json.Marshal(p.ptr)
		return string(b), err
	}
	v := reflect.ValueOf(f).Elem()
	switch v.Kind() {
	case reflect.String:
		return v.String(), nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	}
	return nil, fmt.Errorf("catalog: no column type for %T", f)
}

func scan(cols, fields []any) error {
	if len(cols) != len(fields) {
		return fmt.Errorf("catalog: %d columns for %d fields", len(cols), len(fields))
	}
	for i, f := range fields {
		if err := scanOne(cols[i], f); err != nil {
			return err
		}
	}
	return nil
}

func scanOne(col, f any) error {
	switch c := col.(type) {
	case string:
		switch p := f.(type) {
		case *string:
			*p = c
			return nil
		case asJSON:
			if c == "" {
				return nil
			}
			return json.Unmarshal([]byte(c), p.ptr)
		}
		if v := reflect.ValueOf(f).Elem(); v.Kind() == reflect.String {
			v.SetString(c)
			return nil
		}
	case int64:
		switch p := f.(type) {
		case *int64:
			*p = c
			return nil
		case *bool:
			*p = c != 0
			return nil
		case derived:
			return nil
		case *time.Time:
			*p = fromMillis(c)
			return nil
		case *time.Duration:
			*p = time.Duration(c) * time.Millisecond
			return nil
		}
		if v := reflect.ValueOf(f).Elem(); v.CanInt() {
			v.SetInt(c)
			return nil
		}
	case []byte:
		if p, ok := f.(*[]byte); ok {
			*p = c
			if len(c) == 0 {
				*p = nil
			}
			return nil
		}
	case nil:
		// An engine may hand an empty BLOB back as nothing.
		if p, ok := f.(*[]byte); ok {
			*p = nil
			return nil
		}
	}
	return fmt.Errorf("catalog: a column of type %T does not fit %T", col, f)
}

// plain turns arguments of the domain's types into the column types.
func plain(args []any) []any {
	for i, a := range args {
		switch a.(type) {
		case string, int64, []byte:
			continue
		}
		if v := reflect.ValueOf(a); v.Kind() == reflect.String {
			args[i] = v.String()
		}
	}
	return args
}

// millis stores times as milliseconds since 1970 UTC; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// number runs a statement whose result is one integer.
func (t *Tx) number(query string, args ...any) (int64, error) {
	var n int64
	err := t.c.Query(query, plain(args), func(cols []any) error {
		return scanOne(cols[0], &n)
	})
	return n, err
}
