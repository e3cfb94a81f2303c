package quire

import "context"

type actorKey struct{}

// WithActor returns a context that says on whose behalf accounts, credentials and
// sites are changed, for the record of events. It decides nothing: what somebody
// may do is asked of the Caller that a call is given.
func WithActor(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, actorKey{}, c)
}

// ActorOf returns who WithActor named; ok is false if nobody was.
func ActorOf(ctx context.Context) (c Caller, ok bool) {
	c, ok = ctx.Value(actorKey{}).(Caller)
	return c, ok
}
