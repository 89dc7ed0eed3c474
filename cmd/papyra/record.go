package main

import (
	"github.com/papyra-go/papyra/backend"
	"github.com/papyra-go/papyra/internal/lines"
)

// Records are shown in the form that they have in an export.

func appendNumbers(dst []byte, r *backend.Record) []byte { return lines.AppendNumbers(dst, r) }

func appendRecord(dst []byte, r *backend.Record) []byte { return lines.AppendRecord(dst, r) }

func appendString(dst []byte, s string) []byte { return lines.AppendString(dst, s) }
