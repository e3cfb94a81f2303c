package wopi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/quire-docs/quire"
)

// Statuses of one activity (WOPI §2, AddActivities).
const (
	activityOK          = 0
	activityFailed      = 1
	activityInvalid     = 2
	activityUnsupported = 3
)

// Limits of one AddActivities request.
const (
	maxActivitiesBody = 1 << 20
	maxActivities     = 1000
)

// activity is one thing that an editor tells of a file. Members that we do not
// know are ignored, and times are kept as text: clients send malformed ones.
type activity struct {
	Type      string
	ID        string `json:"Id"`
	Timestamp string
	Created   string
	Data      map[string]any
	People    []map[string]any
}

type activityResponse struct {
	ID      string `json:"Id"`
	Status  int
	Message string `json:",omitempty"`
}

// addActivities is AddActivities (WOPI §2): one bad activity never fails the
// others.
func addActivities(c *call) error {
	if _, err := c.file(); err != nil {
		return err
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxActivitiesBody))
	if err != nil {
		return err
	}
	var in struct{ Activities []json.RawMessage }
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if len(in.Activities) > maxActivities {
		return badRequest("too many activities in one request: send at most 1000")
	}
	answer := struct{ ActivityResponses []activityResponse }{[]activityResponse{}}
	for _, raw := range in.Activities {
		answer.ActivityResponses = append(answer.ActivityResponses, c.addActivity(raw))
	}
	return c.answer(answer)
}

func (c *call) addActivity(raw json.RawMessage) activityResponse {
	var a activity
	if err := json.Unmarshal(raw, &a); err != nil {
		var id struct {
			ID string `json:"Id"`
		}
		_ = json.Unmarshal(raw, &id) // as far as it can be read, to say which one is wrong
		return activityResponse{id.ID, activityInvalid, "the activity cannot be read"}
	}
	switch {
	case a.Type != "comment":
		return activityResponse{a.ID, activityUnsupported, "only comments are kept"}
	case a.ID == "" || a.Data == nil:
		return activityResponse{a.ID, activityInvalid, "an activity needs an Id and Data"}
	}
	when := a.Timestamp
	if when == "" {
		when = a.Created
	}
	err := c.lib.AddActivity(c.ctx, c.caller, c.id, quire.EventComment,
		map[string]any{"id": a.ID, "timestamp": when, "data": a.Data, "people": a.People})
	switch {
	case errors.Is(err, quire.ErrForbidden):
		return activityResponse{a.ID, activityFailed, "you may not comment on this file"}
	case err != nil:
		c.log.Error("an activity was not kept", "node", c.id, "error", err)
		return activityResponse{a.ID, activityFailed, "it was not kept: try again"}
	}
	return activityResponse{a.ID, activityOK, ""}
}
