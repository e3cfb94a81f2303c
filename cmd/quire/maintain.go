package main

import (
	"fmt"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

type siteCmd struct {
	Add   siteAddCmd   `cmd:"" help:"Add a site."`
	List  siteListCmd  `cmd:"" help:"List sites."`
	Quota siteQuotaCmd `cmd:"" help:"Change how many bytes a site may hold."`
}

// siteView is a site as commands print one.
type siteView struct {
	ID       quire.SiteID `json:"id"`
	Account  string       `json:"account"`
	Instance string       `json:"instance"`
	Quota    int64        `json:"quota"`
	Used     int64        `json:"used"`
}

type siteAddCmd struct {
	storage
	Account  string `arg:"" help:"The site's account."`
	Instance string `help:"The site's instance." default:"default"`
	Quota    int64  `help:"How many bytes it may hold; 0 is no limit." default:"0"`
}

func (c *siteAddCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		s, err := o.library.CreateSite(a.ctx, c.Account, c.Instance, c.Quota)
		if err != nil {
			return err
		}
		return a.print(siteView{s.ID, s.Account, s.Instance, s.Quota, 0}, "added %s/%s\n", s.Account, s.Instance)
	})
}

type siteListCmd struct{ storage }

func (c *siteListCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		sites, err := o.library.Sites(a.ctx)
		if err != nil {
			return err
		}
		list := []siteView{}
		for _, s := range sites {
			_, used, err := o.library.SiteOf(a.ctx, quire.Caller{Site: s.ID})
			if err != nil {
				return err
			}
			list = append(list, siteView{s.ID, s.Account, s.Instance, s.Quota, used})
		}
		return a.table(list, "SITE\tUSED\tQUOTA\tID", len(list), func(i int) []any {
			s := list[i]
			return []any{s.Account + "/" + s.Instance, s.Used, s.Quota, s.ID}
		})
	})
}

type siteQuotaCmd struct {
	storage
	Account  string `arg:"" help:"The site's account."`
	Quota    int64  `arg:"" help:"How many bytes it may hold; 0 is no limit."`
	Instance string `help:"The site's instance." default:"default"`
}

func (c *siteQuotaCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		s, err := o.library.Site(a.ctx, c.Account, c.Instance)
		if err != nil {
			return fmt.Errorf("site %s/%s: %w", c.Account, c.Instance, err)
		}
		if err := o.library.SetQuota(a.ctx, s.ID, c.Quota); err != nil {
			return err
		}
		return a.print(siteView{s.ID, s.Account, s.Instance, c.Quota, 0}, "quota of %s/%s set\n", s.Account, s.Instance)
	})
}

type fsckCmd struct {
	storage
	Quick bool `help:"Do not read the segments: only look whether they are there and as long as they should be."`
}

func (c *fsckCmd) Run(a *app) error {
	problems := []library.Problem{}
	var sum library.Checked
	err := c.with(a, func(o *opened) (err error) {
		sum, err = o.library.Check(a.ctx, !c.Quick, func(p library.Problem) {
			problems = append(problems, p)
			if !a.json {
				fmt.Fprintf(a.out, "%s %s: %s\n", p.What, p.Where, p.Detail)
			}
		})
		return err
	})
	if err != nil {
		return err
	}
	word := "clean"
	if sum.Problems > 0 {
		word = fmt.Sprintf("%d problems", sum.Problems)
	}
	err = a.print(struct {
		library.Checked
		List []library.Problem `json:"list"`
	}{sum, problems}, "%s: %d nodes, %d revisions, %d segments, %d uploads, %d bytes read, %d unnamed objects\n",
		word, sum.Nodes, sum.Revisions, sum.Segments, sum.Uploads, sum.Bytes, sum.Orphans)
	if err == nil && sum.Problems > 0 {
		return exitError(exitProblem)
	}
	return err
}

type gcCmd struct {
	storage
	Grace time.Duration `help:"Keep what was last named less than this ago." default:"24h"`
}

func (c *gcCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		if err := o.library.Chores(a.ctx); err != nil {
			return err
		}
		sum, err := o.library.Collect(a.ctx, c.Grace)
		if err != nil {
			return err
		}
		return a.print(sum, "deleted %d uploads, %d segments and %d unnamed objects: %d bytes\n", sum.Uploads, sum.Segments, sum.Orphans, sum.Bytes)
	})
}
