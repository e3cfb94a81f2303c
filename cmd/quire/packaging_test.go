package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/quire-docs/quire/blob/s3/s3test"
	"github.com/quire-docs/quire/internal/needs"
)

const packaging = "../../packaging"

func packaged(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(packaging, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// settingNames returns the names of serve's settings, as flags and as variables.
func settingNames(t *testing.T) (flags, variables map[string]bool) {
	t.Helper()
	parser, err := kong.New(new(commands), kong.Name("quire"), kong.DefaultEnvars("QUIRE"))
	if err != nil {
		t.Fatal(err)
	}
	flags, variables = make(map[string]bool), make(map[string]bool)
	for _, n := range parser.Model.Children {
		if n.Name != "serve" {
			continue
		}
		eachFlag(n, func(f *kong.Flag) {
			flags[f.Name] = true
			for _, env := range f.Envs {
				variables[env] = true
			}
		})
	}
	if !flags["listen"] || !variables["QUIRE_PUBLIC_URL"] {
		t.Fatalf("serve has %v and %v", flags, variables)
	}
	variables["QUIRE_CONFIG"] = true
	return flags, variables
}

// TestPackagedSettings: every setting that the files and pages for operators name
// is one.
func TestPackagedSettings(t *testing.T) {
	flags, variables := settingNames(t)
	other := map[string]bool{"QUIRE_SERVER": true, "QUIRE_TOKEN": true} // of commands
	env := regexp.MustCompile(`QUIRE_[A-Z0-9_]+`)
	files := []string{"../../docs/operations.md", "../../quire.conf.sample"}
	if err := filepath.WalkDir(packaging, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range env.FindAllString(string(b), -1) {
			if !variables[name] && !other[name] {
				t.Errorf("%s names the setting %s, which is none", f, name)
			}
		}
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?m)^    ([a-z-]+) = |`([a-z-]+) = ").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 5 {
		t.Fatalf("docs/operations.md has the examples %v", examples)
	}
	for _, m := range examples {
		if !flags[m[1]+m[2]] {
			t.Errorf("docs/operations.md names the setting %s, which is none", m[1]+m[2])
		}
	}
	// All settings are in the sample, and nothing else is.
	sample, err := os.ReadFile("../../quire.conf.sample")
	if err != nil {
		t.Fatal(err)
	}
	in := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^#([a-z0-9-]+) =`).FindAllStringSubmatch(string(sample), -1) {
		in[m[1]] = true
		if !flags[m[1]] {
			t.Errorf("quire.conf.sample has %s, which is no setting", m[1])
		}
	}
	// Secrets are for the environment; help and config are no settings.
	for name := range flags {
		if !in[name] && !slices.Contains([]string{"help", "admin-password", "oidc-client-secret"}, name) {
			t.Errorf("quire.conf.sample does not have %s", name)
		}
	}
}

// checkConfig lets the program itself read a configuration file.
func checkConfig(t *testing.T, what, text string) {
	t.Helper()
	list, err := parseSettings(strings.NewReader(text))
	if err != nil || len(list) == 0 {
		t.Fatalf("%s: %v", what, err)
	}
	flags, _ := settingNames(t)
	var args []string
	for _, s := range list {
		if !flags[s.name] {
			t.Errorf("%s: there is no setting %s", what, s.name)
		}
		args = append(args, "--"+s.name+"="+s.value)
	}
	var c commands
	parser, err := kong.New(&c, kong.Name("quire"), kong.DefaultEnvars("QUIRE"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve"}, args...)); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if err := c.Serve.check(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if _, err := parseProxies(c.Serve.TrustedProxies); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// TestKubernetes: each document is of its kind, without a field that the kind does
// not have, and the parts fit each other.
func TestKubernetes(t *testing.T) {
	var (
		config  corev1.ConfigMap
		deploy  appsv1.Deployment
		service corev1.Service
		ingress networkingv1.Ingress
		policy  networkingv1.NetworkPolicy
		budget  policyv1.PodDisruptionBudget
		account corev1.ServiceAccount
	)
	kinds := map[string]any{
		"v1 ConfigMap": &config, "apps/v1 Deployment": &deploy, "v1 Service": &service, "v1 ServiceAccount": &account,
		"networking.k8s.io/v1 Ingress": &ingress, "networking.k8s.io/v1 NetworkPolicy": &policy, "policy/v1 PodDisruptionBudget": &budget,
	}
	docs := regexp.MustCompile(`(?m)^---$`).Split(packaged(t, "kubernetes/quire.yaml"), -1)
	for _, doc := range docs {
		var head metav1.TypeMeta
		if err := sigsyaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatal(err)
		}
		name := head.APIVersion + " " + head.Kind
		into, ok := kinds[name]
		if !ok {
			t.Errorf("there is a %q, once too often or unexpected", name)
			continue
		}
		delete(kinds, name)
		if err := sigsyaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name := range kinds {
		t.Errorf("there is no %s", name)
	}
	if t.Failed() {
		t.FailNow()
	}

	checkConfig(t, "the ConfigMap", config.Data["quire.conf"])
	pod := deploy.Spec.Template
	if len(pod.Spec.Containers) != 1 {
		t.Fatal("one container is expected")
	}
	c := pod.Spec.Containers[0]
	settings := make(map[string]string)
	list, _ := parseSettings(strings.NewReader(config.Data["quire.conf"])) // checkConfig has done so
	for _, s := range list {
		settings[s.name] = s.value
	}
	ports := make(map[string]int32)
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for port, setting := range map[string]string{"http": "listen", "admin": "admin-listen"} {
		if want := fmt.Sprintf("0.0.0.0:%d", ports[port]); settings[setting] != want {
			t.Errorf("%s is %s, the container's port %s", setting, settings[setting], want)
		}
	}
	for what, h := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if h == nil || h.HTTPGet == nil || h.HTTPGet.Port != intstr.FromString("http") || h.HTTPGet.Path != "/readyz" && h.HTTPGet.Path != "/healthz" {
			t.Errorf("the %s probe is %v", what, h)
		}
	}
	drain, err := time.ParseDuration(settings["drain"])
	if err != nil {
		t.Fatal(err)
	}
	if need := int64(drain.Seconds()) + c.Lifecycle.PreStop.Sleep.Seconds; *pod.Spec.TerminationGracePeriodSeconds <= need {
		t.Errorf("it is killed after %d s, and may need %d", *pod.Spec.TerminationGracePeriodSeconds, need)
	}
	for _, labels := range []map[string]string{deploy.Spec.Selector.MatchLabels, service.Spec.Selector, policy.Spec.PodSelector.MatchLabels, budget.Spec.Selector.MatchLabels} {
		for k, v := range labels {
			if pod.Labels[k] != v {
				t.Errorf("a selector wants %s=%s, the pods have %v", k, v, pod.Labels)
			}
		}
		if len(labels) == 0 {
			t.Error("a selector selects everything")
		}
	}
	mounts := make(map[string]bool)
	for _, v := range pod.Spec.Volumes {
		mounts[v.Name] = true
	}
	paths := make(map[string]bool)
	for _, m := range c.VolumeMounts {
		if !mounts[m.Name] {
			t.Errorf("there is no volume %s", m.Name)
		}
		paths[m.MountPath] = true
	}
	if !paths[settings["data"]] {
		t.Errorf("the data folder %s is not a volume, and the rest is read-only", settings["data"])
	}
	if *pod.Spec.EnableServiceLinks || c.SecurityContext == nil || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation || !*pod.Spec.SecurityContext.RunAsNonRoot {
		t.Error("the pod is not kept in")
	}
	if b := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service; b.Name != service.Name || b.Port.Name != service.Spec.Ports[0].Name {
		t.Errorf("the ingress leads to %v", b)
	}
	if host := "https://" + ingress.Spec.Rules[0].Host; settings["public-url"] != host {
		t.Errorf("public-url is %s, the ingress is for %s", settings["public-url"], host)
	}
	if deploy.Namespace != config.Namespace || deploy.Namespace != service.Namespace || account.Name != pod.Spec.ServiceAccountName || c.EnvFrom[0].SecretRef.Name == "" {
		t.Error("the parts do not fit")
	}
}

// TestCompose: every variable that the services need is in the sample, what a
// service names is there, and Quire's settings fit the others'.
func TestCompose(t *testing.T) {
	var file struct {
		Name     string
		Services map[string]struct {
			Build      map[string]string
			Image      string
			DependsOn  map[string]struct{ Condition string } `yaml:"depends_on"`
			Env        map[string]string                     `yaml:"environment"`
			Ports      []string
			Volumes    []string
			Tmpfs      []string
			Command    []string
			ReadOnly   bool     `yaml:"read_only"`
			CapDrop    []string `yaml:"cap_drop"`
			Security   []string `yaml:"security_opt"`
			Grace      string   `yaml:"stop_grace_period"`
			Restart    string
			Shm        string         `yaml:"shm_size"`
			Health     map[string]any `yaml:"healthcheck"`
			Entrypoint []string
		}
		Volumes map[string]any
	}
	text := packaged(t, "compose/compose.yaml")
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	sample := packaged(t, "compose/env.sample")
	for _, m := range regexp.MustCompile(`\$\{([A-Z0-9_]+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(sample, "\n"+m[1]+"=") {
			t.Errorf("env.sample does not have %s", m[1])
		}
	}
	for name, s := range file.Services {
		for need := range s.DependsOn {
			if _, ok := file.Services[need]; !ok {
				t.Errorf("%s depends on %s, which is not there", name, need)
			}
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			if _, ok := file.Volumes[volume]; !ok {
				t.Errorf("%s has the volume %s, which is not there", name, volume)
			}
		}
	}
	q := file.Services["quire"]
	for _, host := range []string{"@postgres:5432/", "http://s3:7070"} {
		if !strings.Contains(q.Env["QUIRE_CATALOG"]+q.Env["QUIRE_BLOBS"], host) {
			t.Errorf("quire does not use %s", host)
		}
	}
	if !slices.Contains(file.Services["s3"].Command, ":7070") || file.Services["postgres"].Env["POSTGRES_USER"] != "quire" {
		t.Error("the services listen elsewhere, or to somebody else")
	}
	if b := q.Build; b["context"] != "../.." || b["dockerfile"] != "packaging/docker/Dockerfile" || !strings.Contains(packaged(t, "docker/Dockerfile"), " AS "+b["target"]+"\n") {
		t.Errorf("it is built by %v", b)
	}
}

// TestDockerfile: what it copies is there, what it runs is the program, as nobody
// special, and it builds with the Go that the module needs.
func TestDockerfile(t *testing.T) {
	text := packaged(t, "docker/Dockerfile")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	if !strings.Contains(text, "golang:"+version+"-") {
		t.Errorf("it does not build with Go %s", version)
	}
	if !strings.Contains(text, " ./cmd/quire\n") || !strings.Contains(text, "CGO_ENABLED=0") || !strings.Contains(text, "-X main.version=$VERSION") {
		t.Error("it does not build the program as it should")
	}
	known := []string{"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}
	stages, users, entries := map[string]bool{}, 0, 0
	lines := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(text, "\\\n", " ")))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		if !slices.Contains(known, word) {
			t.Errorf("there is no instruction %q", word)
		}
		switch word {
		case "FROM":
			if _, name, ok := strings.Cut(rest, " AS "); ok {
				stages[name] = true
			}
		case "COPY":
			if from, ok := strings.CutPrefix(rest, "--from="); ok {
				if stage, _, _ := strings.Cut(from, " "); !stages[stage] {
					t.Errorf("there is no stage %s", stage)
				}
				continue
			}
			parts := strings.Fields(rest)
			for _, name := range parts[:len(parts)-1] {
				if _, err := os.Stat(filepath.Join("../..", name)); err != nil {
					t.Error(err)
				}
			}
		case "USER":
			users++
			if rest != "65532:65532" {
				t.Errorf("it runs as %s", rest)
			}
		case "ENTRYPOINT", "CMD":
			entries++
			var args []string
			if err := json.Unmarshal([]byte(rest), &args); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if users != 2 || entries != 4 {
		t.Errorf("%d users, %d entries", users, entries)
	}
}

// TestSystemd: systemd takes the unit, and keeps the program in.
func TestSystemd(t *testing.T) {
	unit := packaged(t, "systemd/quire.service")
	m := regexp.MustCompile(`(?m)^ExecStart=(\S+) --config \S+ serve$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("it does not run the server")
	}
	analyze := needs.Program(t, "systemd-analyze")
	bin, err := exec.LookPath("quire")
	if err != nil {
		t.Fatal(err)
	}
	// The program is where this test has it, and the user that verify looks for is
	// there.
	unit = strings.ReplaceAll(unit, m[1], bin)
	unit = strings.ReplaceAll(strings.ReplaceAll(unit, "User=quire", "User=daemon"), "Group=quire", "Group=daemon")
	file := filepath.Join(t.TempDir(), "quire.service")
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput(); err != nil || bytes.Contains(out, []byte("quire.service")) {
		t.Errorf("verify: %v\n%s", err, out)
	}
	// The level of exposure, in tenths: a service without any hardening has 96.
	if out, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=35", "--no-pager", file).CombinedOutput(); err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}

var metricName = regexp.MustCompile(`\b(?:quire|process|go)_[a-z0-9_]+`)

// TestPackagedMetrics: every metric that the dashboard, the alerts and the page
// for operators name is one that the server has, with the labels that they name.
func TestPackagedMetrics(t *testing.T) {
	data := t.TempDir()
	bucket := s3test.Start(t)
	env := append(bucket.Environment(), "QUIRE_ADMIN_LISTEN=127.0.0.1:0", "QUIRE_BLOBS="+bucket.URL("metrics"))
	for _, v := range env[:2] {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	t.Setenv("QUIRE_BLOBS", bucket.URL("metrics"))
	s, err := launchWith(env, data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	token := quireOutput(t, data, "token", "create", "--user", "admin")
	if resp, text := ask(t, "PUT", s.url+"/api/v1/file/put?path=/a.bin", token, strings.Repeat("x", 100_000)); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	_, exposed := ask(t, "GET", "http://"+s.admin+"/metrics", "", "")
	labels := make(map[string]map[string]bool)
	for line := range strings.Lines(exposed) {
		if line[0] == '#' {
			continue
		}
		name, _, _ := strings.Cut(line, " ")
		name, rest, _ := strings.Cut(name, "{")
		if labels[name] == nil {
			labels[name] = map[string]bool{"job": true, "instance": true}
		}
		for _, l := range regexp.MustCompile(`([a-z]+)="`).FindAllStringSubmatch(rest, -1) {
			labels[name][l[1]] = true
		}
	}

	var expressions []string
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(packaged(t, "prometheus/alerts.yaml")))
	dec.KnownFields(true)
	if err := dec.Decode(&rules); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
				t.Errorf("the alert %q does not say what it means and what to do", r.Alert)
			}
			expressions = append(expressions, r.Expr)
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(packaged(t, "grafana/quire.json")), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, e := range p.Targets {
			expressions = append(expressions, e.Expr)
		}
	}
	if len(expressions) < 30 {
		t.Fatalf("only %d expressions were found", len(expressions))
	}
	selector := regexp.MustCompile(`\b([a-z_]+)\{([^}]*)\}`)
	used := make(map[string]bool)
	for _, e := range expressions {
		for _, name := range metricName.FindAllString(e, -1) {
			used[name] = true
			if labels[name] == nil {
				t.Errorf("there is no metric %s, which %s names", name, e)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(e, -1) {
			for _, l := range regexp.MustCompile(`([a-z]+)[!=~]+"`).FindAllStringSubmatch(m[2], -1) {
				if m[1] != "up" && !labels[m[1]][l[1]] {
					t.Errorf("%s has no label %s, which %s names", m[1], l[1], e)
				}
			}
		}
		if err := balanced(e); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile("`(quire_[a-z_]+)").FindAllStringSubmatch(string(page), -1) {
		used[name[1]] = true
		if labels[name[1]] == nil && labels[name[1]+"_count"] == nil {
			t.Errorf("there is no metric %s, which docs/operations.md names", name[1])
		}
	}
	// And none is left out.
	for name := range labels {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if strings.HasPrefix(name, "quire_") && !bytes.Contains(page, []byte("`"+base)) {
			t.Errorf("docs/operations.md does not tell of %s", base)
		}
	}
}

// balanced says whether the brackets and quotes of an expression fit.
func balanced(e string) error {
	var open []rune
	quoted := false
	for _, r := range e {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case strings.ContainsRune("([{", r):
			open = append(open, r)
		case strings.ContainsRune(")]}", r):
			if len(open) == 0 || strings.IndexRune("([{", open[len(open)-1]) != strings.IndexRune(")]}", r) {
				return fmt.Errorf("a bracket %c has no beginning", r)
			}
			open = open[:len(open)-1]
		}
	}
	if quoted || len(open) > 0 {
		return fmt.Errorf("something is not closed")
	}
	return nil
}
