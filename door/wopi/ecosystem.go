package wopi

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// getEcosystem is GetEcosystem for files and containers (WOPI §2).
func getEcosystem(c *call) error {
	if _, err := c.lib.Stat(c.ctx, c.caller, c.id); err != nil {
		return err
	}
	u, err := c.pointer(theEcosystem, "")
	if err != nil {
		return err
	}
	return c.answer(struct {
		URL string `json:"Url"`
	}{u})
}

// checkEcosystem is CheckEcosystem (WOPI §6).
func checkEcosystem(c *call) error {
	return c.answer(struct{ SupportsContainers bool }{true})
}

// getRootContainer is GetRootContainer (WOPI §6).
func getRootContainer(c *call) error {
	a, err := c.rootContainer()
	if err != nil {
		return err
	}
	return c.answer(a)
}

func (c *call) rootContainer() (containerAnswer, error) {
	e, err := c.lib.Lookup(c.ctx, c.caller, "/")
	if err != nil {
		return containerAnswer{}, err
	}
	return c.containerAnswer(e)
}

// getFileWopiSrc is GetFileWopiSrc (WOPI §6).
func getFileWopiSrc(c *call) error {
	u, err := c.wopiSrcOf(c.r.Header.Get("X-WOPI-HostNativeFileName"))
	if err != nil {
		return err
	}
	return c.answer(struct {
		URL string `json:"Url"`
	}{u})
}

// wopiSrcOf returns the WopiSrc, with a token, of what one of our page URLs is
// about: a HostEditUrl, a HostViewUrl or a share URL.
func (c *call) wopiSrcOf(native string) (string, error) {
	e, err := c.pageSubject(native)
	if err != nil {
		return "", err
	}
	kind := aFile
	if e.IsContainer() {
		kind = aContainer
	}
	u, err := c.pointer(kind, e.ID)
	return u + "&access_token_ttl=" + strconv.FormatInt(c.tok.expires.UnixMilli(), 10), err
}

func (c *call) pageSubject(native string) (library.Entry, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(native), c.base()+"/")
	if !ok {
		return library.Entry{}, quire.ErrNotFound
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	page, id, ok := strings.Cut(rest, "/")
	if !ok {
		return library.Entry{}, quire.ErrNotFound
	}
	id, err := url.PathUnescape(id)
	if err != nil {
		return library.Entry{}, quire.ErrNotFound
	}
	node := quire.NodeID(id)
	switch page {
	case "edit", "view":
	case "s":
		k, _, err := c.lib.Link(c.ctx, quire.LinkID(id))
		if err != nil {
			return library.Entry{}, err
		}
		// A link with a password opens only on its page.
		if k.Password == "" {
			c.tok.Link, c.caller.Link = k.ID, k.ID
		}
		node = k.Node
	default:
		return library.Entry{}, quire.ErrNotFound
	}
	return c.lib.Stat(c.ctx, c.caller, node)
}
