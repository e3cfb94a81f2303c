package main

import "github.com/quire-docs/quire/server"

// limitSettings are what users, addresses and uploads may take of a server.
type limitSettings struct {
	RateUser    float64 `help:"How many requests a second a user may make for long; 0 is no limit." name:"rate-user" env:"QUIRE_RATE_USER" default:"0"`
	RateAddress float64 `help:"How many requests a second may come from one address for long; 0 is no limit. Behind a proxy, set trusted-proxies first. Editors' requests (WOPI) do not count." name:"rate-address" env:"QUIRE_RATE_ADDRESS" default:"0"`
	RateBurst   int     `help:"How many requests may come at once before the two rates count; 0 is ten seconds' worth." name:"rate-burst" env:"QUIRE_RATE_BURST" default:"0"`
	MaxSending  int     `help:"How many uploads may be received at a time; 0 is no limit." name:"max-running-uploads" env:"QUIRE_MAX_RUNNING_UPLOADS" default:"512"`
}

func (s *limitSettings) checkLimits() error {
	if !(s.RateUser >= 0 && s.RateUser <= 1e6 && s.RateAddress >= 0 && s.RateAddress <= 1e6) || s.RateBurst < 0 || s.MaxSending < 0 {
		return &settingError{"rate-user, rate-address, rate-burst, max-running-uploads", "use 0 for no limit, or a number above it"}
	}
	return nil
}

func (s *limitSettings) limits() server.Limits {
	return server.Limits{User: s.RateUser, Address: s.RateAddress, Burst: s.RateBurst, Uploads: s.MaxSending}
}
