package main

import "github.com/papyra-go/papyra/backend"

// header begins every JSON document but an export: what it is, and of which store.
// The number in Schema grows when a field changes its meaning or goes; new fields
// may come without it.
type header struct {
	Schema string `json:"schema"`
	Place  string `json:"place"`
	Engine string `json:"engine"`
}

func headerOf(schema string, p place, b *backend.Backend) header {
	return header{schema, p.String(), b.Engine()}
}

// errorShape is an error in a JSON document.
type errorShape struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func shapeOf(err error) *errorShape {
	if err == nil {
		return nil
	}
	word, _ := outcome(err)
	return &errorShape{word, oneLine(err)}
}
