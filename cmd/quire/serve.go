package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/door/fileapi"
	"github.com/quire-docs/quire/door/signin"
	"github.com/quire-docs/quire/door/tus"
	"github.com/quire-docs/quire/door/ucloud"
	"github.com/quire-docs/quire/door/web"
	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/door/wopi/discovery"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/metrics"
	"github.com/quire-docs/quire/server"
	"github.com/quire-docs/quire/traces"
	"github.com/quire-docs/quire/transform"
	"github.com/quire-docs/quire/transform/webhook"
)

// maxMiB is more than there is, and can be told in bytes.
const maxMiB = 1 << 40

type serveCmd struct {
	storage
	wopiSettings
	limitSettings
	tlsSettings
	auditSettings
	traceSettings
	signInSettings
	convertSettings

	Listen         string        `help:"The address to listen on. Port 0 picks a free one; the ready line tells which." env:"QUIRE_LISTEN" default:"127.0.0.1:8080"`
	AdminListen    string        `help:"An address for operators only, without a password: /metrics for Prometheus, /debug/pprof/, /loglevel. Keep it to 127.0.0.1 or a network of your own. Empty is none." name:"admin-listen" env:"QUIRE_ADMIN_LISTEN"`
	PublicURL      string        `help:"The URL that people and editors reach this server by. Empty is the address it listens on." name:"public-url" env:"QUIRE_PUBLIC_URL"`
	AdminPassword  string        `help:"The password of the first administrator, 'admin', on the first start. Empty makes a random one, which is printed once." name:"admin-password" env:"QUIRE_ADMIN_PASSWORD"`
	TrustedProxies []string      `help:"Networks whose X-Forwarded-For is believed, for example 10.0.0.0/8." name:"trusted-proxies" env:"QUIRE_TRUSTED_PROXIES" sep:","`
	LogLevel       string        `help:"What is logged: debug, info, warn or error." name:"log-level" env:"QUIRE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info"`
	LogFormat      string        `help:"How it is logged: text or json." name:"log-format" env:"QUIRE_LOG_FORMAT" enum:"text,json" default:"text"`
	Stall          time.Duration `help:"How long a request may go without a byte moving before it is cut." env:"QUIRE_STALL" default:"1m"`
	Drain          time.Duration `help:"How long running requests may take to finish when the server stops." env:"QUIRE_DRAIN" default:"30s"`
	TrashLife      time.Duration `help:"How long deleted files can be restored." name:"trash-life" env:"QUIRE_TRASH_LIFE" default:"720h"`
	Grace          time.Duration `help:"How long bytes that nothing names any more are kept." env:"QUIRE_GRACE" default:"24h"`
	KeepAll        time.Duration `help:"How long every revision of a file is kept." name:"keep-all" env:"QUIRE_KEEP_ALL" default:"24h"`
	KeepHourly     time.Duration `help:"Until what age one revision an hour is kept." name:"keep-hourly" env:"QUIRE_KEEP_HOURLY" default:"192h"`
	BlobCache      int64         `help:"How much of a bucket's bytes that are read often is kept in the data folder, in MiB; 0 is nothing." name:"blob-cache" env:"QUIRE_BLOB_CACHE" default:"1024"`
	RedirectFrom   int64         `help:"The size in MiB from which on whole downloads are sent to a URL of the bucket itself that is good for two minutes; 0 is never." name:"redirect-from" env:"QUIRE_REDIRECT_FROM" default:"0"`
	Provider       string        `help:"This server's provider id in the paths of the UCloud protocol." name:"ucloud-provider" env:"QUIRE_UCLOUD_PROVIDER" default:"quire"`
	Sockets        int           `help:"How many WebSockets one user may have open at a time for uploads." name:"ucloud-sockets" env:"QUIRE_UCLOUD_SOCKETS" default:"64"`
	KeepDaily      time.Duration `help:"Until what age one revision a day is kept; 0 is for ever." name:"keep-daily" env:"QUIRE_KEEP_DAILY" default:"0"`
}

// Run serves until it is told to stop.
func (s *serveCmd) Run(a *app) error {
	level := new(slog.LevelVar)
	log := s.logger(a, level)
	proxies, err := parseProxies(s.TrustedProxies)
	if err != nil {
		return err
	}
	certs, challenge, err := s.certificates(s.Data, log)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	// What libraries log through the default logger is worth a line from warnings
	// up.
	slog.SetDefault(slog.New(fromWarnings{log.Handler()}))
	editors, err := s.set(s.Data, log)
	if err != nil {
		return err
	}
	conv, err := s.engines(log)
	if err != nil {
		return err
	}
	defer conv.close(log)
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return &settingError{"listen", err.Error()}
	}
	defer l.Close() // the server closes it too; this is for what fails before
	var thumbnails func(string) bool
	if s.Thumbnails {
		thumbnails = func(name string) bool { return conv.set.Serves(transform.Claimed(name), transform.PNG) == nil }
	}
	s.cacheBytes = s.BlobCache << 20
	store, err := s.open(a.ctx, s.node(), log, library.Options{
		Thumbnails: thumbnails,
		EventLife:  s.EventLife, RecordReads: s.RecordReads,
		TrashLife: s.TrashLife, Grace: s.Grace,
		Retention: library.Retention{All: s.KeepAll, Hourly: s.KeepHourly, Daily: s.KeepDaily},
	})
	if err != nil {
		return err
	}
	defer func() {
		if err := store.close(); err != nil {
			log.Error("the store did not close cleanly", "error", err)
		}
	}()
	login, password, err := store.begin(a.ctx, s.AdminPassword)
	if err != nil {
		return err
	}

	public := s.publicURL(l.Addr())
	spans, err := s.start(a.ctx, traces.Options{Version: version, Logger: log})
	if err != nil {
		return err
	}
	defer func() {
		if err := endTraces(spans); err != nil {
			log.Warn("the last traces were not sent", "error", err)
		}
	}()
	files := fileapi.New(store.library, store.ids, fileapi.Options{PublicURL: public, Logger: log, Engines: conv.set, Office: conv.office, Hooks: conv.hooks, RedirectFrom: s.RedirectFrom << 20})
	counts := metrics.New(version, server.Operation)
	store.watch.counts, store.watch.traces = counts, spans
	limits := s.limits()
	limits.Refused = counts.Limited
	counts.Limits(server.LimitUser, server.LimitAddress, server.LimitUploads, "sockets")
	doors, hijacked := s.doors(store, public, editors, files, counts, log)
	srv := server.New(doors, server.Options{
		Logger: log, Proxies: proxies, TLS: certs, Stall: s.Stall, Drain: s.Drain, Hijacked: hijacked, Limits: limits, HSTS: s.HSTS, Trace: tracing(spans),
		Ready: func(ctx context.Context) error {
			return store.cat.View(ctx, func(tx *catalog.Tx) error {
				_, err := tx.Sites()
				return err
			})
		},
	})

	ctx, stop := context.WithCancelCause(a.ctx)
	var background sync.WaitGroup
	background.Go(func() { store.stay(ctx, stop, log) })
	background.Go(func() { store.library.Run(ctx) })
	background.Go(func() {
		store.library.RunConversions(ctx, fileapi.Convert(conv.set), s.workers(), s.ConvertLimit)
	})
	background.Go(func() { store.library.RunDeliveries(ctx, files.Deliver, webhook.TryLimit) })
	background.Go(func() { editors.Run(ctx) })
	defer background.Wait()
	defer stop(nil)

	if err := s.redirect(ctx, public, challenge, log); err != nil {
		return err
	}
	var admin net.Addr
	if s.AdminListen != "" {
		gauges(counts, store)
		if admin, err = serveAdmin(ctx, s.AdminListen, adminServer(counts, level), log); err != nil {
			return err
		}
	}
	if err := s.ready(a, l.Addr(), admin, public, login, password); err != nil {
		return err
	}
	err = srv.Serve(ctx, l)
	var moved *settingError
	if errors.As(context.Cause(ctx), &moved) {
		err = errors.Join(moved, err)
	}
	return err
}

// doors puts every protocol at its place. The function ends the connections that
// they have taken over.
func (s *serveCmd) doors(o *opened, public *url.URL, editors *discovery.Set, files *fileapi.Door, counts *metrics.Metrics, log *slog.Logger) (http.Handler, func(context.Context)) {
	mux := http.NewServeMux()
	handle := func(door, at string, h http.Handler) { mux.Handle(at, counts.Count(door, h)) }
	handle("fileapi", "/api/v1/", files)
	handle("fileapi", "/1/", files)
	cloud := ucloud.New(o.library, o.ids, ucloud.Options{Provider: s.Provider, PublicURL: public, Logger: log, MaxSockets: s.Sockets, Refused: func() { counts.Limited("sockets") }})
	handle("ucloud", "/ucloud/", cloud)
	handle("ucloud", "/api/files", cloud) // delete
	handle("ucloud", "/api/files/", cloud)
	resumable := tus.New(o.library, o.ids, tus.Options{PublicURL: public, Logger: log})
	handle("tus", "/uploads", resumable)
	handle("tus", "/uploads/", resumable)
	office := wopi.New(o.library, o.ids, s.options(wopi.Options{PublicURL: public, Logger: log, Editors: editors, SignIn: s.signIn()}))
	handle("wopi", "/wopi/", office)
	handle("wopi", wopi.AccessPath, office.AccessAPI())
	handle("wopi", wopi.BootstrapperPath, office.Bootstrapper())
	people := signin.New(o.library, o.ids, signin.Options{PublicURL: public, Logger: log, Outside: s.outside(o)})
	for _, at := range signin.Paths() {
		handle("signin", at, people)
	}
	pages := office.Pages()
	for _, at := range []string{"/edit/", "/view/", "/s/", "/host/", "/new"} {
		handle("pages", at, pages)
	}
	handle("web", mirrorPath, mirror(o.ids))
	handle("web", "/", web.New(o.library, o.ids, web.Options{PublicURL: public, Logger: log, Opens: opens(editors)}))
	return mux, cloud.Drain
}

// ready tells, in one line, that requests are served, and on the first start
// how to sign in.
func (s *serveCmd) ready(a *app, addr, admin net.Addr, public *url.URL, login, password string) error {
	var forOperators string
	if admin != nil {
		forOperators = admin.String()
	}
	if a.json {
		return json.NewEncoder(a.out).Encode(struct {
			Ready    bool   `json:"ready"`
			Listen   string `json:"listen"`
			Admin    string `json:"admin,omitempty"`
			URL      string `json:"url"`
			Login    string `json:"login,omitempty"`
			Password string `json:"password,omitempty"`
		}{true, addr.String(), forOperators, public.String(), login, password})
	}
	if password != "" {
		fmt.Fprintf(a.out, "quire: first start: sign in as %q with the password %q (it is shown only now)\n", login, password)
	}
	_, err := fmt.Fprintf(a.out, "quire: ready on %s listening on %s\n", public, addr)
	return err
}

func (s *serveCmd) logger(a *app, level *slog.LevelVar) *slog.Logger {
	_ = level.UnmarshalText([]byte(s.LogLevel)) // the flag's enum allows nothing else
	opt := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.errOut, opt))
	}
	return slog.New(slog.NewTextHandler(a.errOut, opt))
}

func parseProxies(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, &settingError{"trusted-proxies", fmt.Sprintf("%q is no network: write it like 10.0.0.0/8", text)}
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *serveCmd) checkPublicURL() error {
	if s.PublicURL == "" {
		return nil
	}
	u, err := url.Parse(s.PublicURL)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		err = errors.New("it must be http:// or https:// and a host, without a query")
	}
	if err == nil && strings.Trim(u.Path, "/") != "" {
		err = errors.New("serve under a path is not supported: give the server a host name of its own")
	}
	if err != nil {
		return &settingError{"public-url", err.Error()}
	}
	return nil
}

// publicURL is the base of every URL that is handed out.
func (s *serveCmd) publicURL(addr net.Addr) *url.URL {
	if s.PublicURL != "" {
		u, _ := url.Parse(s.PublicURL) // checked by checkPublicURL
		u.Path = ""
		return u
	}
	host, port, _ := net.SplitHostPort(addr.String())
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if s.https() {
		scheme = "https"
	}
	if len(s.ACMEHosts) > 0 {
		host = s.ACMEHosts[0]
		if port == "443" {
			return &url.URL{Scheme: scheme, Host: host}
		}
	}
	return &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}
}
