package wopi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// FormSignIn returns an App.SignIn that fills in the host's own pages, as a user
// would: it enters the name and the password, the code of the second factor if
// one is asked for, and agrees.
func FormSignIn(client *http.Client, user, password string, code func() (string, error)) func(context.Context, string) (string, error) {
	return func(ctx context.Context, authorize string) (string, error) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return "", err
		}
		begin, err := url.Parse(authorize)
		if err != nil {
			return "", err
		}
		redirect := begin.Query().Get("redirect_uri")
		b := browser{ctx: ctx, http: *http.DefaultClient}
		if client != nil {
			b.http = *client
		}
		b.http.Jar = jar
		b.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), redirect) {
				b.back = r.URL.String()
				return http.ErrUseLastResponse
			}
			if r.URL.Host != begin.Host {
				return fmt.Errorf("the sign-in left %s for %s", begin.Host, r.URL.Host)
			}
			return nil
		}
		f, err := b.open(authorize)
		for range 6 { // sign-in, second factor, consent, and some to spare
			if err != nil || b.back != "" {
				return b.back, err
			}
			switch {
			case f.has("password"):
				if f.filled {
					return "", fmt.Errorf("the sign-in failed: %s", f.alert)
				}
				f.values.Set("login", user)
				f.values.Set("password", password)
			case f.has("code"):
				if code == nil {
					return "", errors.New("the sign-in asks for a second factor")
				}
				text, err := code()
				if err != nil {
					return "", err
				}
				f.values.Set("code", text)
			case f.has("answer"):
				f.values.Set("answer", "allow")
			default:
				return "", fmt.Errorf("the sign-in shows a page without a form: %s", f.alert)
			}
			f, err = b.submit(f)
		}
		return "", errors.New("the sign-in goes round in circles")
	}
}

// browser opens pages and submits forms.
type browser struct {
	ctx    context.Context
	http   http.Client
	back   string // where the browser was sent that is not the host's
	filled bool   // the password was sent
}

// form is the first form of a page.
type form struct {
	action *url.URL
	values url.Values
	names  map[string]bool
	alert  string // the page's message
	filled bool
}

func (f *form) has(name string) bool { return f.names[name] }

func (b *browser) open(u string) (*form, error) {
	r, err := http.NewRequestWithContext(b.ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	return b.do(r)
}

func (b *browser) submit(f *form) (*form, error) {
	r, err := http.NewRequestWithContext(b.ctx, http.MethodPost, f.action.String(), strings.NewReader(f.values.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", f.action.Scheme+"://"+f.action.Host)
	b.filled = b.filled || f.has("password")
	return b.do(r)
}

func (b *browser) do(r *http.Request) (*form, error) {
	resp, err := b.http.Do(r)
	if err != nil {
		return nil, redact(err)
	}
	defer resp.Body.Close()
	if b.back != "" {
		return nil, nil
	}
	f := &form{action: resp.Request.URL, values: url.Values{}, names: map[string]bool{}, filled: b.filled}
	f.read(io.LimitReader(resp.Body, 1<<20))
	return f, nil
}

// read finds the page's form and its message.
func (f *form) read(page io.Reader) {
	z := html.NewTokenizer(page)
	alert := false
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return
		case html.TextToken:
			if alert {
				f.alert += strings.TrimSpace(string(z.Text()))
				alert = false
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			attr := map[string]string{}
			for _, a := range t.Attr {
				attr[a.Key] = a.Val
			}
			alert = attr["role"] == "alert"
			switch t.Data {
			case "form":
				if u, err := f.action.Parse(attr["action"]); err == nil {
					f.action = u
				}
			case "input", "button":
				f.names[attr["name"]] = true
				if t.Data == "input" && attr["type"] != "checkbox" {
					f.values.Set(attr["name"], attr["value"])
				}
			}
		}
	}
}
