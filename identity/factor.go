package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// The second factor is a one-time password by time (RFC 6238) as all
// authenticator apps make them: SHA-1, six digits, 30 seconds. One step to
// either side is taken, for clocks that are wrong.
const (
	otpPeriod     = 30
	recoveryCodes = 10
)

var plainBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewFactor is a second factor that is about to be set up.
type NewFactor struct {
	Secret   string   // in base32, for people to type
	URL      string   // otpauth://, for the picture that apps read
	Recovery []string // each stands in for a code once
}

// BeginFactor makes a second factor for a user. It is not asked for until a code
// has been entered with ConfirmFactor. quire.Exists if the user has one.
func (a *Authority) BeginFactor(ctx context.Context, user quire.UserID, issuer string) (n NewFactor, err error) {
	secret := make([]byte, 20)
	rand.Read(secret)
	f := catalog.Factor{Owner: user, Secret: secret}
	for range recoveryCodes {
		text := strings.ToLower(rand.Text()[:16])
		n.Recovery = append(n.Recovery, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		f.Recovery = append(f.Recovery, recoveryHash(text))
	}
	var login string
	err = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		login = u.Login
		switch old, err := tx.Factor(user); {
		case err == nil && old.Confirmed:
			return &quire.Exists{Name: "second factor"}
		case err != nil && !errors.Is(err, quire.ErrNotFound):
			return err
		}
		f.Created = tx.Now()
		return tx.PutFactor(&f)
	})
	if err != nil {
		return NewFactor{}, err
	}
	n.Secret = plainBase32.EncodeToString(secret)
	n.URL = "otpauth://totp/" + url.PathEscape(issuer+":"+login) + "?" + url.Values{"secret": {n.Secret}, "issuer": {issuer}}.Encode()
	return n, nil
}

func recoveryHash(code string) string {
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(code))
	sum := sha256.Sum256([]byte("recovery:" + plain))
	return hex.EncodeToString(sum[:])
}

// HasFactor says whether a second factor is asked for, and how many recovery
// codes are left.
func (a *Authority) HasFactor(ctx context.Context, user quire.UserID) (has bool, recovery int, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		f, err := tx.Factor(user)
		if errors.Is(err, quire.ErrNotFound) {
			return nil
		}
		has, recovery = f.Confirmed, len(f.Recovery)
		return err
	})
	return has, recovery, err
}

// ConfirmFactor takes the first code of a second factor, which is asked for from
// now on. quire.ErrUnauthenticated if the code is wrong.
func (a *Authority) ConfirmFactor(ctx context.Context, user quire.UserID, code, addr string) error {
	return a.checkFactor(ctx, user, code, addr, true)
}

// VerifyFactor checks a code of a user's second factor, or one of the recovery
// codes. No code is good twice. quire.ErrUnauthenticated if it is wrong,
// quire.Unavailable after too many wrong ones, quire.ErrNotFound if the user has no
// second factor.
func (a *Authority) VerifyFactor(ctx context.Context, user quire.UserID, code, addr string) error {
	return a.checkFactor(ctx, user, code, addr, false)
}

func (a *Authority) checkFactor(ctx context.Context, user quire.UserID, code, addr string, confirm bool) error {
	tries := guesses("factor of "+string(user), addr)
	if err := a.mayTry(ctx, tries); err != nil {
		return err
	}
	right := false
	var u quire.User
	err := a.cat.Update(ctx, func(tx *catalog.Tx) error {
		right = false
		f, err := tx.Factor(user)
		if err != nil {
			return err
		}
		if u, err = tx.User(user); err != nil {
			return err
		}
		if f.Confirmed == confirm {
			if confirm {
				return &quire.Exists{Name: "second factor"}
			}
			return quire.ErrNotFound
		}
		if step, ok := otpStep(f.Secret, code, tx.Now()); ok && step > f.Step {
			f.Step, f.Confirmed, right = step, true, true
			if err := tx.UpdateFactor(&f); err != nil || !confirm {
				return err
			}
			return record(ctx, tx, u, quire.EventFactor, map[string]any{"on": true})
		}
		if confirm {
			return nil
		}
		hash := recoveryHash(code)
		at := slices.IndexFunc(f.Recovery, func(h string) bool { return subtle.ConstantTimeCompare([]byte(h), []byte(hash)) == 1 })
		if at < 0 {
			return nil
		}
		f.Recovery, right = slices.Delete(slices.Clone(f.Recovery), at, at+1), true
		if err := tx.UpdateFactor(&f); err != nil {
			return err
		}
		return record(ctx, tx, u, quire.EventFactor, map[string]any{"recovery_codes_left": len(f.Recovery)})
	})
	switch {
	case err != nil:
		return err
	case right:
		return a.succeeded(ctx, tries)
	}
	if err := a.failed(ctx, tries, u, quire.EventFactor, "code"); err != nil {
		return err
	}
	return quire.ErrUnauthenticated
}

// otpStep returns the time step that a code is right for.
func otpStep(secret []byte, code string, now time.Time) (int64, bool) {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	text := plainBase32.EncodeToString(secret)
	at := now.Unix() / otpPeriod
	for _, step := range []int64{at, at - 1, at + 1} {
		ok, err := hotp.ValidateCustom(code, uint64(step), text, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok {
			return step, true
		}
	}
	return 0, false
}

// EndFactor removes a user's second factor. Doors ask for the password first.
func (a *Authority) EndFactor(ctx context.Context, user quire.UserID) error {
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		if _, err := tx.Factor(user); err != nil {
			return err
		}
		if err := tx.DeleteFactor(user); err != nil {
			return err
		}
		return recordOf(ctx, tx, user, quire.EventFactor, map[string]any{"on": false})
	})
}

// Picture is the URL as a QR code: the path of an SVG whose dark parts are
// filled, in a square of size units to a side.
func (n NewFactor) Picture() (path string, size int, err error) {
	const side = 256
	k, err := otp.NewKeyFromURL(n.URL)
	if err != nil {
		return "", 0, err
	}
	img, err := k.Image(side, side)
	if err != nil {
		return "", 0, err
	}
	dark := func(x, y int) bool {
		r, _, _, _ := img.At(x, y).RGBA()
		return r < 0x8000
	}
	same := func(y, z int) bool {
		for x := range side {
			if dark(x, y) != dark(x, z) {
				return false
			}
		}
		return true
	}
	var out strings.Builder
	for y := 0; y < side; {
		top := y
		for y++; y < side && same(top, y); y++ {
		}
		for x := 0; x < side; x++ {
			left := x
			for x < side && dark(x, top) {
				x++
			}
			if x > left {
				fmt.Fprintf(&out, "M%d %dh%dv%dh-%dz", left, top, x-left, y-top, x-left)
			}
		}
	}
	return out.String(), side, nil
}
