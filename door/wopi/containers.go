package wopi

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi/utf7"
	"github.com/quire-docs/quire/library"
)

// containerInfo is the answer of CheckContainerInfo (WOPI §5).
type containerInfo struct {
	Name                         string
	HostURL                      string   `json:"HostUrl"`
	SupportedShareURLTypes       []string `json:"SupportedShareUrlTypes"`
	IsAnonymousUser              bool
	IsEduUser                    bool
	LicenseCheckForEditIsEnabled bool
	UserCanCreateChildContainer  bool
	UserCanCreateChildFile       bool
	UserCanDelete                bool
	UserCanRename                bool
}

func (c *call) containerInfo(e library.Entry) containerInfo {
	canWrite := e.Access >= quire.Editor && c.caller.Scope.Allows(quire.ScopeWrite)
	return containerInfo{
		Name: displayName(e), HostURL: c.base() + "/view/" + url.PathEscape(string(e.ID)),
		SupportedShareURLTypes: []string{"ReadOnly", "ReadWrite"},
		IsAnonymousUser:        c.caller.User == "", IsEduUser: c.opt.Education, LicenseCheckForEditIsEnabled: c.opt.Business,
		UserCanCreateChildContainer: canWrite, UserCanCreateChildFile: canWrite,
		UserCanDelete: canWrite && e.Parent != "", UserCanRename: canWrite && e.Parent != "",
	}
}

// checkContainerInfo is CheckContainerInfo (WOPI §5).
func checkContainerInfo(c *call) error {
	e, err := c.container()
	if err != nil {
		return err
	}
	return c.answer(c.containerInfo(e))
}

// containerAnswer is a container with what is said of it.
type containerAnswer struct {
	ContainerPointer namedURL
	ContainerInfo    containerInfo
}

func (c *call) containerAnswer(e library.Entry) (containerAnswer, error) {
	p, err := c.named(aContainer, e)
	return containerAnswer{p, c.containerInfo(e)}, err
}

// createChildContainer is CreateChildContainer (WOPI §5).
func createChildContainer(c *call) error {
	parent, err := c.container()
	if err != nil {
		return err
	}
	n, err := c.readWish("", errUnsupported)
	if err != nil {
		return err
	}
	n.overwrite = false
	t, err := c.wishTarget(parent.ID, n, "X-WOPI-InvalidContainerNameError")
	if err != nil {
		return err
	}
	e, _, err := c.lib.CreateContainer(c.ctx, c.caller, t)
	if err != nil {
		return c.taken(n, err)
	}
	a, err := c.containerAnswer(e)
	if err != nil {
		return err
	}
	return c.answer(a)
}

// deleteContainer is DeleteContainer (WOPI §5).
func deleteContainer(c *call) error {
	e, err := c.container()
	if err != nil {
		return err
	}
	if e.Parent == "" {
		return errUnsupported // as UserCanDelete says
	}
	if err := c.lib.DeleteEmpty(c.ctx, c.caller, c.id); err != nil {
		return err
	}
	return c.done()
}

// renameContainer is RenameContainer (WOPI §5): the name is taken as it is, or
// refused.
func renameContainer(c *call) error {
	e, err := c.container()
	if err != nil {
		return err
	}
	refuse := func(err error) error {
		c.w.Header().Set("X-WOPI-InvalidContainerNameError", asciiLine(err.Error()))
		return &statusError{http.StatusBadRequest, err.Error()}
	}
	name, err := utf7.Decode(c.r.Header.Get("X-WOPI-RequestedName"))
	if err != nil || strings.TrimSpace(name) == "" {
		return refuse(errors.New("X-WOPI-RequestedName is missing or not UTF-7"))
	}
	if _, _, err := library.CheckName(name); err != nil {
		return refuse(err)
	}
	if e.Parent == "" {
		return errUnsupported // as UserCanRename says
	}
	e, err = c.lib.Move(c.ctx, c.caller, c.id, quire.Target{Name: name, OnConflict: quire.Reject}, quire.Precondition{}, nil)
	if err != nil {
		return err
	}
	return c.answer(struct{ Name string }{e.Name})
}

// childFile is a file as EnumerateChildren lists it.
type childFile struct {
	namedURL
	Version          string
	Size             int64
	LastModifiedTime string
}

// enumerateChildren is EnumerateChildren (WOPI §5).
func enumerateChildren(c *call) error {
	if _, err := c.container(); err != nil {
		return err
	}
	var only []string
	for ext := range strings.SplitSeq(c.header("X-WOPI-FileExtensionFilterList"), ",") {
		if ext = strings.ToLower(strings.TrimSpace(ext)); ext != "" {
			only = append(only, ext)
		}
	}
	answer := struct {
		ChildContainers []namedURL
		ChildFiles      []childFile
	}{[]namedURL{}, []childFile{}}
	for after := ""; ; {
		page, next, err := c.lib.List(c.ctx, c.caller, c.id, library.Listing{After: after, Limit: 5000})
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.IsContainer() {
				p, err := c.named(aContainer, e)
				if err != nil {
					return err
				}
				answer.ChildContainers = append(answer.ChildContainers, p)
				continue
			}
			if only != nil && !slices.Contains(only, strings.ToLower(path.Ext(e.Name))) {
				continue
			}
			p, err := c.named(aFile, e)
			if err != nil {
				return err
			}
			answer.ChildFiles = append(answer.ChildFiles, childFile{p, version(e.Sequence), e.Size, timeText(e.Modified)})
		}
		if after = next; after == "" {
			return c.answer(answer)
		}
	}
}
