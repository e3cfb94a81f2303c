package proof

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// vectors are Microsoft's published samples of signed requests.
type vectors struct {
	Keys struct {
		Key, Modulus, Exponent          string
		OldKey, OldModulus, OldExponent string
	}
	Cases []struct {
		ValidBy     string `json:"valid_by"`
		Path        string
		AccessToken string `json:"access_token"`
		Timestamp   string
		Proof       string
		ProofOld    string `json:"proof_old"`
	}
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) != 8 {
		t.Fatalf("%d cases, want 8", len(v.Cases))
	}
	return v
}

func mustParse(t testing.TB, modulus, exponent, value string) *Key {
	t.Helper()
	k, err := ParseKey(modulus, exponent, value)
	if err != nil || k == nil {
		t.Fatalf("ParseKey: %v, %v", k, err)
	}
	return k
}

func TestVectors(t *testing.T) {
	v := readVectors(t)
	byNumbers := Keys{
		Current: mustParse(t, v.Keys.Modulus, v.Keys.Exponent, ""),
		Old:     mustParse(t, v.Keys.OldModulus, v.Keys.OldExponent, ""),
	}
	byBlob := Keys{Current: mustParse(t, "", "", v.Keys.Key), Old: mustParse(t, "", "", v.Keys.OldKey)}
	if !byNumbers.Current.Equal(byBlob.Current) || !byNumbers.Old.Equal(byBlob.Old) {
		t.Fatal("the blob holds another key than modulus and exponent")
	}
	want := map[string]Match{
		"Proof+current": Current, "ProofOld+current": OldProofCurrentKey, "Proof+old": CurrentProofOldKey, "none": NoMatch,
	}
	for i, c := range v.Cases {
		ticks, err := strconv.ParseInt(c.Timestamp, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		req := Request{
			Token:     c.AccessToken,
			URL:       "https://contoso.com/wopi/files/" + c.Path + "?access_token=" + c.AccessToken,
			Timestamp: c.Timestamp,
			Proof:     c.Proof,
			ProofOld:  c.ProofOld,
		}
		got, err := Verify(byNumbers, req, FromTicks(ticks))
		if got != want[c.ValidBy] || (err == nil) != (got != NoMatch) {
			t.Errorf("case %d: %v, %v, want %v", i, got, err, c.ValidBy)
		}
		if got == NoMatch && !errors.Is(err, ErrBadSignature) {
			t.Errorf("case %d: %v, want ErrBadSignature", i, err)
		}
		// A caller has the decoded token too, and does not know which was signed.
		req.Token, req.RawToken = "decoded", c.AccessToken
		if again, _ := Verify(byBlob, req, FromTicks(ticks)); again != got {
			t.Errorf("case %d: %v with the raw token, want %v", i, again, got)
		}
	}
}

// Making keys is slow, so the tests share three.
var testKeys = sync.OnceValue(func() [3]*rsa.PrivateKey {
	var keys [3]*rsa.PrivateKey
	for i := range keys {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = k
	}
	return keys
})

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 800, time.UTC)

const (
	testToken = "secret/token+1"
	testURL   = "https://docs.example.org/wopi/files/abc?access_token=secret%2ftoken%2B1&access_token_ttl=0"
)

func key(t testing.TB, k *rsa.PrivateKey) *Key {
	t.Helper()
	if k == nil {
		return nil
	}
	out, err := NewKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sign(t testing.TB, k *rsa.PrivateKey, token, url string, at time.Time) string {
	t.Helper()
	if k == nil {
		return ""
	}
	s, err := Sign(k, token, url, Ticks(at))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stamp(at time.Time) string { return strconv.FormatInt(Ticks(at), 10) }

// Every signature of {none, current, old, stranger} in both headers against
// every pair of known keys.
func TestCombinations(t *testing.T) {
	pk := testKeys()
	signers := []*rsa.PrivateKey{nil, pk[0], pk[1], pk[2]}
	for _, current := range signers[:3] {
		for _, old := range signers[:3] {
			keys := Keys{Current: key(t, current), Old: key(t, old)}
			for _, p := range signers {
				for _, po := range signers {
					req := Request{
						Token: testToken, URL: testURL, Timestamp: stamp(testNow),
						Proof:    sign(t, p, testToken, testURL, testNow),
						ProofOld: sign(t, po, testToken, testURL, testNow),
					}
					want := NoMatch
					switch {
					case p != nil && p == current:
						want = Current
					case po != nil && po == current:
						want = OldProofCurrentKey
					case p != nil && p == old:
						want = CurrentProofOldKey
					}
					got, err := Verify(keys, req, testNow)
					if got != want {
						t.Fatalf("got %v, want %v", got, want)
					}
					wantErr := ErrBadSignature
					if p == nil && po == nil {
						wantErr = ErrMissing
					}
					if want == NoMatch && !errors.Is(err, wantErr) || want != NoMatch && err != nil {
						t.Fatalf("got %v, want %v", err, wantErr)
					}
				}
			}
		}
	}
}

func TestRotated(t *testing.T) {
	for m, want := range map[Match]bool{Current: false, OldProofCurrentKey: true, CurrentProofOldKey: true, NoMatch: true} {
		if m.Rotated() != want {
			t.Errorf("%v.Rotated() = %v", m, !want)
		}
	}
}

func TestTimestamp(t *testing.T) {
	pk := testKeys()[0]
	keys := Keys{Current: key(t, pk)}
	for _, c := range []struct {
		age  time.Duration
		want error
	}{
		{0, nil},
		{MaxAge, nil},
		{MaxAge + time.Second, ErrStale},
		{-MaxAge, nil},
		{-MaxAge - time.Second, ErrStale},
		{100 * 365 * 24 * time.Hour, ErrStale},
	} {
		at := testNow.Add(-c.age)
		req := Request{Token: testToken, URL: testURL, Timestamp: stamp(at), Proof: sign(t, pk, testToken, testURL, at)}
		m, err := Verify(keys, req, testNow)
		if !errors.Is(err, c.want) || (m == Current) != (c.want == nil) {
			t.Errorf("age %v: %v, %v, want %v", c.age, m, err, c.want)
		}
	}
	for _, ticks := range []int64{0, 1, maxTicks} {
		sig, err := Sign(pk, testToken, testURL, ticks)
		if err != nil {
			t.Fatal(err)
		}
		req := Request{Token: testToken, URL: testURL, Timestamp: strconv.FormatInt(ticks, 10), Proof: sig}
		if m, err := Verify(keys, req, testNow); m != NoMatch || !errors.Is(err, ErrStale) {
			t.Errorf("ticks %d: %v, %v, want ErrStale", ticks, m, err)
		}
	}
	for _, text := range []string{
		"", " ", "x", "-1", "+1", "1.5", "0x10", "9223372036854775807", "-9223372036854775808",
		"3155378976000000000", "99999999999999999999999", strings.Repeat("9", 1<<20), "63_000",
	} {
		req := Request{Token: testToken, URL: testURL, Timestamp: text, Proof: "AAAA"}
		if _, err := Verify(keys, req, testNow); !errors.Is(err, ErrMissing) {
			t.Errorf("timestamp %.20q: %v, want ErrMissing", text, err)
		}
	}
	// A stale request with a wrong signature is not told apart: the signature
	// comes first.
	req := Request{Token: testToken, URL: testURL, Timestamp: "1", Proof: "AAAA"}
	if _, err := Verify(keys, req, testNow); !errors.Is(err, ErrBadSignature) {
		t.Errorf("got %v, want ErrBadSignature", err)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		at    time.Time
		ticks int64
	}{
		{time.Unix(0, 0), 621355968000000000},
		{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), 0},
		{time.Date(9999, 12, 31, 23, 59, 59, 999999900, time.UTC), maxTicks},
		{time.Date(2015, 4, 25, 20, 16, 1, 77353200, time.UTC), 635655897610773532},
	} {
		if got := Ticks(c.at); got != c.ticks {
			t.Errorf("Ticks(%v) = %d, want %d", c.at, got, c.ticks)
		}
		if got := FromTicks(c.ticks); !got.Equal(c.at) {
			t.Errorf("FromTicks(%d) = %v, want %v", c.ticks, got, c.at)
		}
	}
	if Ticks(time.Unix(math.MaxInt64, 0)) != maxTicks || Ticks(time.Unix(math.MinInt64, 0)) != 0 {
		t.Error("times outside .NET's range are not clamped")
	}
	if FromTicks(math.MinInt64).Year() != 1 || FromTicks(math.MaxInt64).Year() != 9999 {
		t.Error("ticks outside .NET's range are not clamped")
	}
}

// What is signed must be what was called: any change makes the proof wrong,
// but for the case of the URL.
func TestCovers(t *testing.T) {
	pk := testKeys()[0]
	keys := Keys{Current: key(t, pk)}
	good := Request{Token: testToken, URL: testURL, Timestamp: stamp(testNow), Proof: sign(t, pk, testToken, testURL, testNow)}
	for name, c := range map[string]struct {
		change func(*Request)
		want   Match
	}{
		"nothing":     {func(*Request) {}, Current},
		"case of URL": {func(r *Request) { r.URL = strings.ToUpper(r.URL) }, Current},
		"scheme":      {func(r *Request) { r.URL = "http" + r.URL[5:] }, NoMatch},
		"query":       {func(r *Request) { r.URL += "&x=1" }, NoMatch},
		"escape":      {func(r *Request) { r.URL = strings.Replace(r.URL, "%2f", "/", 1) }, NoMatch},
		"token":       {func(r *Request) { r.Token = "SECRET/token+1" }, NoMatch},
		"raw token":   {func(r *Request) { r.RawToken, r.Token = r.Token, "x" }, Current},
		"time":        {func(r *Request) { r.Timestamp = stamp(testNow.Add(time.Second)) }, NoMatch},
		"shifted field": {func(r *Request) {
			r.Token, r.URL = r.Token+r.URL[:1], r.URL[1:]
		}, NoMatch},
		"garbage":       {func(r *Request) { r.Proof = "!" + r.Proof[1:] }, NoMatch},
		"other bit":     {func(r *Request) { r.Proof = "AAAA" + r.Proof[4:] }, NoMatch},
		"empty base64":  {func(r *Request) { r.Proof = "====" }, NoMatch},
		"no padding":    {func(r *Request) { r.Proof = strings.TrimRight(r.Proof, "=") }, Current},
		"huge proof":    {func(r *Request) { r.Proof = strings.Repeat("A", 8<<20) }, NoMatch},
		"huge old":      {func(r *Request) { r.ProofOld = strings.Repeat("A", 8<<20) }, Current},
		"huge token":    {func(r *Request) { r.Token = strings.Repeat("A", 8<<20) }, NoMatch},
		"huge raw":      {func(r *Request) { r.RawToken = strings.Repeat("A", 8<<20) }, NoMatch},
		"huge URL":      {func(r *Request) { r.URL = strings.Repeat("A", 8<<20) }, NoMatch},
		"long URL":      {func(r *Request) { r.URL += strings.Repeat("&access_token=b", 1000) }, NoMatch},
		"nothing left":  {func(r *Request) { r.Token, r.URL = "", "" }, NoMatch},
		"old is broken": {func(r *Request) { r.ProofOld = "%%%" }, Current},
	} {
		req := good
		c.change(&req)
		m, err := Verify(keys, req, testNow)
		if m != c.want || (err == nil) != (c.want != NoMatch) {
			t.Errorf("%s: %v, %v, want %v", name, m, err, c.want)
		}
		if err != nil && len(err.Error()) > 3*maxShown {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func TestErrorShowsURLNotToken(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{
			"https://h/wopi/files/1?access_token=secret%2ftoken&sc=x",
			"https://h/wopi/files/1?access_token=REDACTED&sc=x",
		},
		{"https://h/a?x=1&Access%5FToken=other", "https://h/a?x=1&access_token=REDACTED"},
		{"https://h/a?access_token=x&access_token=y", "https://h/a?access_token=REDACTED&access_token=REDACTED"},
		{"https://h/secret/token/b?c", "https://h/REDACTED/b?c"},
		{"https://h/a?t=secret%2ftoken", "https://h/a?t=REDACTED"},
		{"https://h/a", "https://h/a"},
	} {
		req := Request{Token: "secret/token", RawToken: "secret%2ftoken", URL: c.url, Timestamp: "1", Proof: "AAAA"}
		_, err := Verify(Keys{}, req, testNow)
		var e *Error
		if !errors.As(err, &e) || e.URL != c.want || !strings.Contains(err.Error(), strconv.Quote(c.want)) {
			t.Errorf("%q: %v, want it to show %q", c.url, err, c.want)
		}
	}
}

func TestParseKey(t *testing.T) {
	k := key(t, testKeys()[0])
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	smallBlob := (&Key{pub: &small.PublicKey}).Blob()
	blob := func(change func([]byte)) string {
		b, err := base64.StdEncoding.DecodeString(k.Blob())
		if err != nil {
			t.Fatal(err)
		}
		change(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	for name, c := range map[string]struct {
		modulus, exponent, value string
		ok                       bool
	}{
		"numbers":            {k.Modulus(), k.Exponent(), "", true},
		"blob":               {"", "", k.Blob(), true},
		"both":               {k.Modulus(), k.Exponent(), k.Blob(), true},
		"numbers are broken": {"!", "65537", k.Blob(), true},
		"blob is broken":     {k.Modulus(), k.Exponent(), "!", true},
		"white space":        {"\n  " + k.Modulus() + "\n", " AQAB ", "", true},
		"leading zeros":      {"AAAA" + k.Modulus(), "AAAAAQAB", "", true},
		"signing key":        {"", "", blob(func(b []byte) { b[5] = 0x24 }), true},
		"no exponent":        {k.Modulus(), "", "", false},
		"no modulus":         {"", "AQAB", "AAAA", false},
		"exponent 0":         {k.Modulus(), "AA==", "", false},
		"exponent 1":         {k.Modulus(), "AQ==", "", false},
		"exponent even":      {k.Modulus(), "BA==", "", false},
		"exponent large":     {k.Modulus(), "//////////8=", "", false},
		"exponent huge":      {k.Modulus(), strings.Repeat("A", 1<<20), "", false},
		"modulus huge":       {strings.Repeat("A", 1<<20), "AQAB", "", false},
		"modulus zero":       {strings.Repeat("A", 344), "AQAB", "", false},
		"small":              {(&Key{pub: &small.PublicKey}).Modulus(), "AQAB", "", false},
		"small blob":         {"", "", smallBlob, false},
		"short blob":         {"", "", "BgIAAA==", false},
		"private blob":       {"", "", blob(func(b []byte) { b[0] = 7 }), false},
		"other magic":        {"", "", blob(func(b []byte) { b[11] = '2' }), false},
		"other algorithm":    {"", "", blob(func(b []byte) { b[4] = 1 }), false},
		"lying length":       {"", "", blob(func(b []byte) { b[13] = 0xFF }), false},
		"huge length":        {"", "", blob(func(b []byte) { b[15] = 0xFF }), false},
		"blob exponent":      {"", "", blob(func(b []byte) { b[19] = 0xFF }), false},
	} {
		got, err := ParseKey(c.modulus, c.exponent, c.value)
		switch {
		case c.ok && (err != nil || !got.Equal(k)):
			t.Errorf("%s: %v", name, err)
		case !c.ok && (err == nil || got != nil):
			t.Errorf("%s: accepted", name)
		}
	}
	for _, exponent := range []string{"", "AQAB", "65537"} {
		if k, err := ParseKey("", exponent, ""); k != nil || err != nil {
			t.Errorf("exponent %q alone: %v, %v, want neither key nor error", exponent, k, err)
		}
	}
	if k.Equal(nil) || !(*Key)(nil).Equal(nil) {
		t.Error("Equal is wrong about nil")
	}
	if _, err := NewKey(nil); err == nil {
		t.Error("NewKey(nil) succeeded")
	}
}

func FuzzVerify(f *testing.F) {
	v := readVectors(f)
	keys := Keys{
		Current: mustParse(f, v.Keys.Modulus, v.Keys.Exponent, ""),
		Old:     mustParse(f, v.Keys.OldModulus, v.Keys.OldExponent, ""),
	}
	signed := map[string]bool{}
	for _, c := range v.Cases {
		url := "https://contoso.com/wopi/files/" + c.Path + "?access_token=" + c.AccessToken
		f.Add(c.AccessToken, url, c.Timestamp, c.Proof, c.ProofOld)
		signed[c.AccessToken+"\n"+strings.ToUpper(url)+"\n"+c.Timestamp] = true
	}
	now := FromTicks(635655897610773532)
	f.Fuzz(func(t *testing.T, token, url, timestamp, p, po string) {
		req := Request{Token: token, URL: url, Timestamp: timestamp, Proof: p, ProofOld: po}
		m, err := Verify(keys, req, now)
		if (err == nil) != (m != NoMatch) {
			t.Fatalf("%v beside %v", m, err)
		}
		if m != NoMatch && !signed[token+"\n"+strings.ToUpper(url)+"\n"+strings.TrimLeft(timestamp, "0")] {
			t.Fatal("a forged request was accepted")
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error without text")
		}
	})
}

func FuzzParseKey(f *testing.F) {
	v := readVectors(f)
	f.Add(v.Keys.Modulus, v.Keys.Exponent, v.Keys.Key)
	f.Add("", "", v.Keys.OldKey)
	f.Add("AQAB", "AQAB", "BgIAAA==")
	f.Fuzz(func(t *testing.T, modulus, exponent, value string) {
		k, err := ParseKey(modulus, exponent, value)
		if err != nil || k == nil {
			return
		}
		again, err := ParseKey(k.Modulus(), k.Exponent(), "")
		if err != nil || !again.Equal(k) {
			t.Fatalf("the key does not survive its own form: %v", err)
		}
		again, err = ParseKey("", "", k.Blob())
		if err != nil || !again.Equal(k) {
			t.Fatalf("the key does not survive its own blob: %v", err)
		}
	})
}
