package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// settings are the lines of a configuration file.
type settings struct {
	lines []setting
}

type setting struct {
	line        int
	name, value string
}

// readSettings reads a configuration file: lines of 'name = value', where
// names are those of the flags without the dashes in front. Text after # at
// the beginning of a line is a comment.
func readSettings(r io.Reader) (kong.Resolver, error) {
	lines, err := parseSettings(r)
	return &settings{lines}, err
}

func parseSettings(r io.Reader) ([]setting, error) {
	var list []setting
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(text, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d: write it as 'name = value'", n)
		}
		list = append(list, setting{n, name, strings.TrimSpace(value)})
	}
	return list, in.Err()
}

// Validate implements kong.Resolver: a name that no command knows stops the
// program, because it is a setting that somebody thinks is in force.
func (s *settings) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	eachFlag(app.Node, func(f *kong.Flag) { known[f.Name] = true })
	for _, l := range s.lines {
		if !known[l.name] || l.name == "config" || l.name == "help" {
			return fmt.Errorf("line %d of the configuration file: there is no setting %q; 'quire serve --help' lists them", l.line, l.name)
		}
	}
	return nil
}

// checkEnvironment refuses a variable that looks like a setting and is none:
// somebody thinks that it is in force. Those of tests are not the program's, nor
// are those that Kubernetes sets beside a service called quire.
func checkEnvironment(app *kong.Application, environ []string) error {
	known := make(map[string]bool)
	eachFlag(app.Node, func(f *kong.Flag) {
		for _, env := range f.Envs {
			known[env] = true
		}
	})
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		foreign := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		if slices.ContainsFunc([]string{"QUIRE_TEST_", "QUIRE_SERVICE_", "QUIRE_PORT"}, foreign) {
			continue
		}
		if strings.HasPrefix(name, "QUIRE_") && value != "" && !known[name] {
			return fmt.Errorf("there is no setting for the environment variable %s; 'quire serve --help' lists them", name)
		}
	}
	return nil
}

func eachFlag(n *kong.Node, f func(*kong.Flag)) {
	for _, flag := range n.Flags {
		f(flag)
	}
	for _, c := range n.Children {
		eachFlag(c, f)
	}
}

// Resolve implements kong.Resolver. The environment outweighs the file, so a
// flag whose variable is set is left to it.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := lookupEnv(env); set {
			return nil, nil
		}
	}
	var values []string
	for _, l := range s.lines {
		if l.name == flag.Name {
			values = append(values, l.value)
		}
	}
	switch {
	case len(values) == 0:
		return nil, nil
	case flag.IsSlice():
		return slices.Clone(values), nil
	}
	return values[len(values)-1], nil
}
