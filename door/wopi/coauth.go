package wopi

import (
	"path"
	"time"

	"github.com/quire-docs/quire/library"
)

// Coauth is what the operator says about the coauthoring extensions.
type Coauth struct {
	CollaborationURL       string // instead of the discovery's collab action
	RealTimeURL            string // instead of the discovery's rtc action
	FileGeoLocationCode    string // where the files are; the extensions need it
	ComplianceDomainPrefix string // only where a region asks for one
}

// coauthInfo are the members of CheckFileInfo that turn the coauthoring
// extensions on (CSPP Plus §1). They are all there or none is.
type coauthInfo struct {
	SupportsCoauth                bool
	SupportsResumableFileTransfer bool
	SequenceNumber                int64
	CollaborationURL              string `json:"OfficeCollaborationServiceEndpointUrl"`
	RealTimeURL                   string `json:"RealTimeChannelEndpointUrl"`
	AccessTokenExpiry             int64
	ServerTime                    int64
	SharingStatus                 string
	FileGeoLocationCode           string
	ComplianceDomainPrefix        string `json:",omitempty"`
}

// endPoints are the coauthoring services for files with an extension.
type endPoints struct {
	RealTimeURL      string `json:"RealTimeChannelEndpointUrl"`
	CollaborationURL string `json:"OfficeCollaborationServiceEndpointUrl"`
}

// endPoints returns the coauthoring services, or nil where the extensions are
// off because one of them is not known.
func (d *Door) endPoints(ext string) *endPoints {
	e := endPoints{RealTimeURL: d.opt.Coauth.RealTimeURL, CollaborationURL: d.opt.Coauth.CollaborationURL}
	if d.opt.Editors != nil && (e.RealTimeURL == "" || e.CollaborationURL == "") {
		found := d.opt.Editors.Endpoints(ext)
		if e.RealTimeURL == "" {
			e.RealTimeURL = found.RealTimeChannel
		}
		if e.CollaborationURL == "" {
			e.CollaborationURL = found.Collaboration
		}
	}
	if e.RealTimeURL == "" || e.CollaborationURL == "" || d.opt.Coauth.FileGeoLocationCode == "" {
		return nil
	}
	return &e
}

// coauthInfo returns the extension's members for a file, or nil where one of
// the required ones has no real value.
func (c *call) coauthInfo(e library.Entry) (*coauthInfo, error) {
	at := c.endPoints(path.Ext(e.Name))
	if at == nil || c.rev != 0 || c.tok.expires.IsZero() {
		return nil, nil
	}
	shared, err := c.lib.Shared(c.ctx, c.caller, e.ID)
	if err != nil {
		return nil, err
	}
	status := "Private"
	if shared {
		status = "Shared"
	}
	return &coauthInfo{
		SupportsCoauth: true, SupportsResumableFileTransfer: true, SequenceNumber: e.Sequence,
		CollaborationURL: at.CollaborationURL, RealTimeURL: at.RealTimeURL,
		AccessTokenExpiry: c.tok.expires.UnixMilli(), ServerTime: time.Now().UnixMilli(),
		SharingStatus:          status,
		FileGeoLocationCode:    c.opt.Coauth.FileGeoLocationCode,
		ComplianceDomainPrefix: c.opt.Coauth.ComplianceDomainPrefix,
	}, nil
}
