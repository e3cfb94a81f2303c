package server

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/quire-docs/quire"
)

// Limits bound what one user, one address, and all senders together may ask of
// a server. They are kept in the process: on several nodes each has its own. A
// zero is no limit.
type Limits struct {
	// User and Address are requests a second that a user, or whoever comes from
	// one address, may make for long; for Burst requests more may come at once.
	User, Address float64
	// Burst is how many requests may come at once; 0 is ten seconds' worth, and
	// at least 20.
	Burst int
	// Uploads is how many requests with a body of more than smallBody bytes, or
	// of unknown length, may run at a time.
	Uploads int
	// Refused, if it is set, is told of each request that is refused, and by which
	// limit: LimitUser, LimitAddress or LimitUploads. It must be quick.
	Refused func(limit string)
}

// The names of the limits.
const (
	LimitUser    = "user"
	LimitAddress = "address"
	LimitUploads = "uploads"
)

// smallBody is the largest body, in bytes, of a request that does not count as
// an upload: it is a call with parameters, or a save that goes to the catalog.
const smallBody = quire.InlineMax

// limits are a server's Limits at work.
type limits struct {
	users, addresses *meter
	uploads          chan struct{} // one element for each that runs; nil is no limit
	refused          func(limit string)
}

func newLimits(l Limits) *limits {
	all := &limits{users: newMeter(l.User, l.Burst), addresses: newMeter(l.Address, l.Burst), refused: l.Refused}
	if all.refused == nil {
		all.refused = func(string) {}
	}
	if l.Uploads > 0 {
		all.uploads = make(chan struct{}, l.Uploads)
	}
	return all
}

// admission is what a request has been given of a server's limits.
type admission struct {
	*limits
	addr   string
	upload bool // it holds one of the places for uploads
}

func (a *admission) release() {
	if a.upload {
		<-a.uploads
	}
}

// Admit says whether a request may go on: its address has not asked too much,
// and if it is an upload there is a place for it, which it keeps until it is
// answered. Else it is a *quire.Unavailable. A door asks once for each request,
// before anything else, so that it can refuse in its protocol's own shape.
func Admit(r *http.Request) error {
	i, _ := r.Context().Value(infoKey).(info)
	a := i.admission
	if a == nil {
		return nil // a handler without a server, in a test
	}
	if wait := a.addresses.take(network(a.addr), time.Now()); wait > 0 {
		a.refused(LimitAddress)
		return &quire.Unavailable{Reason: "too many requests come from your address: slow down and try again", After: wait, Excess: true}
	}
	return AdmitUpload(r)
}

// AdmitUpload is Admit without a look at the address, for a door whose requests
// all come from a few: an editor's servers.
func AdmitUpload(r *http.Request) error {
	i, _ := r.Context().Value(infoKey).(info)
	a := i.admission
	if a == nil {
		return nil
	}
	if a.uploads == nil || a.upload || !uploads(r) {
		return nil
	}
	select {
	case a.uploads <- struct{}{}:
		a.upload = true
		return nil
	default:
		a.refused(LimitUploads)
		return &quire.Unavailable{Reason: "the server takes no more uploads at the moment: try again", After: 5 * time.Second}
	}
}

// AdmitUser says whether a user has not asked too much; else it is a
// *quire.Unavailable. A door asks when it knows who calls. No user is no limit:
// who holds a link only is bounded by the address.
func AdmitUser(ctx context.Context, user quire.UserID) error {
	i, _ := ctx.Value(infoKey).(info)
	if i.admission == nil || user == "" {
		return nil
	}
	if wait := i.admission.users.take(string(user), time.Now()); wait > 0 {
		i.admission.refused(LimitUser)
		return &quire.Unavailable{Reason: "you send too many requests: slow down and try again", After: wait, Excess: true}
	}
	return nil
}

func uploads(r *http.Request) bool {
	switch r.Method {
	case http.MethodPut, http.MethodPost, http.MethodPatch:
		return r.ContentLength < 0 || r.ContentLength > smallBody
	}
	return false
}

// network is what counts as one address: of IPv6, the half that one customer
// of a provider usually has.
func network(addr string) string {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Is4() {
		return addr
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return p.String()
}

// meter measures how often each of many asks.
type meter struct {
	rate  rate.Limit
	burst int

	mu   sync.Mutex // guards seen
	seen map[string]*rate.Limiter
}

// maxSeen bounds a meter's memory, which is some 10 MB then.
const maxSeen = 1 << 16

// newMeter returns a meter that lets n requests a second pass; nil, which lets
// all pass, for 0.
func newMeter(n float64, burst int) *meter {
	if n <= 0 {
		return nil
	}
	if burst <= 0 {
		burst = max(20, int(10*n))
	}
	return &meter{rate: rate.Limit(n), burst: burst, seen: make(map[string]*rate.Limiter)}
}

// take counts a request, or returns how long to wait before the next one.
func (m *meter) take(who string, now time.Time) (wait time.Duration) {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	l := m.seen[who]
	if l == nil {
		if len(m.seen) >= maxSeen {
			m.forget(now)
		}
		l = rate.NewLimiter(m.rate, m.burst)
		m.seen[who] = l
	}
	m.mu.Unlock()
	r := l.ReserveN(now, 1)
	wait = r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now) // what is refused does not count
	}
	return wait
}

// forget drops those who have not asked for long: a new limiter is as theirs. If
// that makes no room, because somebody has very many addresses, it drops others,
// in no order. The caller holds mu.
func (m *meter) forget(now time.Time) {
	for who, l := range m.seen {
		if l.TokensAt(now) >= float64(m.burst) {
			delete(m.seen, who)
		}
	}
	for who := range m.seen {
		if len(m.seen) <= maxSeen/2 {
			return
		}
		delete(m.seen, who)
	}
}
