package catalogtest

import (
	"errors"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// signIn writes, reads and deletes what sign-in is made of.
func signIn(t *testing.T, s *stores) {
	client := catalog.Client{ID: "c", Name: "an app", Hash: []byte{1}, Redirects: []string{"https://a/", "b:/c"}, Scope: "read write", Trusted: true, Office: true, Created: when}
	grant := catalog.Authorization{ID: "g", Client: "c", Owner: "u", Scope: "read", Redirect: "https://a/", Challenge: "ch", Nonce: "no", SignedIn: when, Methods: "pwd",
		Created: when, Used: when, Expires: when, Generation: 1, Agent: "ag", Addr: "ad", Epoch: 3}
	consent := catalog.Consent{Owner: "u", Client: "c", Scope: "read", Created: when}
	factor := catalog.Factor{Owner: "u", Secret: []byte{2}, Confirmed: true, Step: 9, Recovery: []string{"x", "y"}, Created: when, Epoch: 4}
	outside := catalog.OutsideIdentity{Issuer: "https://i", Subject: "su", Owner: "u", Created: when}
	failure := catalog.Failure{What: "w", Count: 3, Last: when}
	for _, sample := range []any{&client, &grant, &consent, &factor, &outside, &failure} {
		full(t, sample)
	}
	other := grant
	other.ID, other.Owner, other.Created = "h", "v", when.Add(time.Second)
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.InsertClient(&client), tx.InsertAuthorization(&grant), tx.InsertAuthorization(&other), tx.PutConsent(&consent), tx.PutFactor(&factor), tx.PutOutsideIdentity(&outside), tx.PutFailure(&failure))
	})
	check := func() {
		t.Helper()
		s.view(func(tx *catalog.Tx) error {
			gotClient, err := tx.Client("c")
			same(t, gotClient, client, err)
			clients, err := tx.Clients()
			same(t, clients, []catalog.Client{client}, err)
			gotGrant, err := tx.Authorization("g")
			same(t, gotGrant, grant, err)
			grants, err := tx.Authorizations("u")
			same(t, grants, []catalog.Authorization{grant}, err)
			gotConsent, err := tx.Consent("u", "c")
			same(t, gotConsent, consent, err)
			gotFactor, err := tx.Factor("u")
			same(t, gotFactor, factor, err)
			gotOutside, err := tx.OutsideIdentity("https://i", "su")
			same(t, gotOutside, outside, err)
			list, err := tx.OutsideIdentities("u")
			same(t, list, []catalog.OutsideIdentity{outside}, err)
			gotFailure, err := tx.Failure("w")
			same(t, gotFailure, failure, err)
			return nil
		})
	}
	check()
	grant.Generation, grant.Challenge = 2, ""
	factor.Recovery, factor.Confirmed = nil, false
	consent.Scope, outside.Owner, failure.Count = "read write", "v", 4
	list := []catalog.OutsideIdentity{}
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.UpdateAuthorization(&grant), tx.UpdateFactor(&factor), tx.PutConsent(&consent), tx.PutOutsideIdentity(&outside), tx.PutFailure(&failure))
	})
	s.view(func(tx *catalog.Tx) (err error) {
		list, err = tx.OutsideIdentities("v")
		return err
	})
	if len(list) != 1 || grant.Epoch != 4 || factor.Epoch != 5 {
		t.Errorf("%v, epochs %d and %d", list, grant.Epoch, factor.Epoch)
	}
	s.update(func(tx *catalog.Tx) error {
		outside.Owner = "u"
		return tx.PutOutsideIdentity(&outside)
	})
	check()

	// Times are bounds that do not include themselves.
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.DeleteAuthorizationsBefore(when), tx.DeleteFailuresBefore(when))
	})
	check()
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.DeleteAuthorizationsOf("u"), tx.DeleteFailuresBefore(when.Add(time.Millisecond)), tx.DeleteFactor("u"), tx.DeleteFactor("u"))
	})
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.view(func(tx *catalog.Tx) error {
		_, e1 := tx.Authorization("g")
		gone("the authorization", e1)
		_, e2 := tx.Failure("w")
		gone("the failure", e2)
		_, e3 := tx.Factor("u")
		gone("the factor", e3)
		_, err := tx.Authorization("h")
		return err // of somebody else
	})
	s.update(func(tx *catalog.Tx) error { return errors.Join(tx.DeleteClient("c"), tx.DeleteFailure("w")) })
	s.view(func(tx *catalog.Tx) error {
		_, e1 := tx.Client("c")
		gone("the client", e1)
		_, e2 := tx.Authorization("h")
		gone("the client's authorization", e2)
		_, e3 := tx.Consent("u", "c")
		gone("the client's consent", e3)
		return nil
	})
}
