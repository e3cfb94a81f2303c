package quire_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/quire-docs/quire"

// may says which of the project's own packages a package may import, directly
// or through others. Dependencies point one way: drivers and doors at the
// edge, the domain in the middle. A package whose name ends in "/..." stands
// for all below it.
var may = map[string][]string{
	"":               {},
	"lock":           {""},
	"chunk":          {""},
	"blob":           {""},
	"blob/...":       {"", "blob"},
	"catalog":        {""},
	"catalog/...":    {"", "catalog", "catalog/migrations"},
	"library":        {"", "lock", "chunk", "blob", "catalog"},
	"library/...":    nil, // librarytest, which opens drivers for tests
	"transform":      {},
	"transform/...":  {"", "transform"},
	"identity":       {"", "catalog"},
	"client":         {"", "chunk"},
	"client/...":     {"", "chunk"},
	"server":         {""},
	"blank":          {},
	"internal/needs": {},
	"metrics":        {},
	"traces":         {},
	"door/...":       {"", "lock", "chunk", "library", "identity", "blob", "catalog", "server", "blank", "client", "transform", "transform/webhook"},
	"cmd/...":        nil, // everything
	"bench/...":      nil,
}

// never says which packages of others a package must not reach.
var never = map[string][]string{
	"":        {"net", "os", "database/sql"},
	"lock":    {"net", "os", "database/sql"},
	"library": {"net/http", "database/sql"},
}

// TestImports holds the layout that ARCHITECTURE.md describes.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}|{{join .Imports " "}}|{{join .Deps " "}}|{{.Doc}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	direct := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		parts := strings.SplitN(strings.TrimSpace(line), "|", 4)
		name := own(parts[0])
		if parts[3] == "" {
			t.Errorf("package %q has no doc comment", name)
		}
		imports := strings.Fields(parts[1])
		direct[name] = imports
		rule, ok := ruleOf(name)
		if !ok {
			t.Errorf("package %q has no line in the table of this test", name)
			continue
		}
		for _, dep := range strings.Fields(parts[2]) {
			if slices.Contains(never[name], dep) && forbidden(direct, name, dep) {
				t.Errorf("package %q imports %q", name, dep)
			}
			if !strings.HasPrefix(dep, module) || rule == nil {
				continue
			}
			if d := own(dep); !slices.Contains(rule, d) && !sameTree(name, d) {
				t.Errorf("package %q reaches %q", name, d)
			}
		}
		// A door may reach blob and catalog through the library only, and no
		// other door at all.
		if strings.HasPrefix(name, "door/") {
			for _, d := range imports {
				if d := own(d); d == "blob" || d == "catalog" || strings.HasPrefix(d, "door/") && !sameTree(name, d) {
					t.Errorf("door %q imports %q", name, d)
				}
			}
		}
	}
}

// forbidden looks at what a package itself imports: what its dependencies need
// is theirs.
func forbidden(direct map[string][]string, name, dep string) bool {
	return slices.Contains(direct[name], dep)
}

func own(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

func ruleOf(name string) ([]string, bool) {
	if r, ok := may[name]; ok {
		return r, true
	}
	for p, r := range may {
		if prefix, ok := strings.CutSuffix(p, "..."); ok && prefix != "" && strings.HasPrefix(name, prefix) {
			return r, true
		}
	}
	return nil, false
}

// sameTree says whether two packages are parts of one door or driver.
func sameTree(a, b string) bool {
	top := func(s string) string {
		parts := strings.SplitN(s, "/", 3)
		return strings.Join(parts[:min(2, len(parts))], "/")
	}
	return strings.Contains(a, "/") && top(a) == top(b)
}
