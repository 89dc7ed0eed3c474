package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Bounds of a request.
const (
	maxBody         = 64 << 10
	maxID           = 128
	maxHistory      = 10_000 // events in one answer
	defaultHistory  = 1000
	invalidJSONText = "the body is not the JSON that is wanted: "
)

// operation is the body of a deposit or a withdrawal.
type operation struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

// order is the body of a transfer.
type order struct {
	ID    string `json:"id"`
	From  string `json:"from"`
	To    string `json:"to"`
	Cents int64  `json:"cents"`
}

// decode reads a body into v: one JSON object with known fields, and nothing after it.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return undecodable(err)
	}
	_, err := d.Token()
	switch {
	case err == io.EOF:
		return nil
	case tooLarge(err):
		return undecodable(err)
	}
	return bad(http.StatusBadRequest, "invalid_json", invalidJSONText+"something stands behind the object")
}

func tooLarge(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e)
}

// undecodable says what is wrong with a body, without repeating what is in it.
func undecodable(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case tooLarge(err):
		return bad(http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("the body has more than %d bytes", maxBody))
	case errors.As(err, &wrongType) && wrongType.Field == "cents":
		return badCents()
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return bad(http.StatusBadRequest, "invalid_json", fmt.Sprintf("%sthe field %q is a %s: want a string", invalidJSONText, wrongType.Field, wrongType.Value))
	case errors.As(err, &wrongType):
		return bad(http.StatusBadRequest, "invalid_json", invalidJSONText+"want one object")
	case err == io.EOF:
		return errNoBody
	}
	return bad(http.StatusBadRequest, "invalid_json", invalidJSONText+fmt.Sprintf("%.200s", err))
}

var errNoBody = bad(http.StatusBadRequest, "invalid_json", invalidJSONText+"it is empty")

// empty accepts no body, or an empty object.
func empty(w http.ResponseWriter, r *http.Request) error {
	var nothing struct{}
	if err := decode(w, r, &nothing); err != error(errNoBody) {
		return err
	}
	return nil
}

func badCents() error {
	return bad(http.StatusBadRequest, "invalid_cents", fmt.Sprintf("cents must be a whole number from 1 to %d", int64(maxCents)))
}

func checkCents(cents int64) error {
	if cents < 1 || cents > maxCents {
		return badCents()
	}
	return nil
}

// checkID reports why an id can't be one. what is the field, for the message.
func checkID(what, id string) error {
	ok := id != "" && len(id) <= maxID && id != "." && id != ".."
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return bad(http.StatusBadRequest, "invalid_id", fmt.Sprintf("%s must have 1 to %d characters of A-Z a-z 0-9 . _ - and not be . or ..", what, maxID))
	}
	return nil
}

func (o *operation) check() error {
	if err := checkID("id", o.ID); err != nil {
		return err
	}
	return checkCents(o.Cents)
}

func (o *order) check() error {
	for _, field := range []struct{ name, id string }{{"id", o.ID}, {"from", o.From}, {"to", o.To}} {
		if err := checkID(field.name, field.id); err != nil {
			return err
		}
	}
	if o.From == o.To {
		return bad(http.StatusBadRequest, "same_account", "from and to are the same account")
	}
	return checkCents(o.Cents)
}

// number reads a query value from 1 to most; absent is def.
func number(r *http.Request, key string, def, most uint64) (uint64, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, bad(http.StatusBadRequest, "invalid_query", fmt.Sprintf("%s must be a whole number from 1 to %d", key, most))
	}
	return n, nil
}
