package main

import "github.com/quire-docs/quire/door/wopi/discovery"

// opens tells the web application which files the editors open.
func opens(editors *discovery.Set) func(ext, action string) bool {
	return func(ext, action string) bool {
		_, _, ok := editors.Find(ext, action)
		return ok
	}
}
