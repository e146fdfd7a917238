package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Limits on the body of an API call.
const (
	maxBody  = 4 << 20
	maxDepth = 64
)

// DecodeJSON sets what d declares from the JSON object in body. As ejabberd, it
// takes a number for a text and a text for a number, and for a list of records
// of two fields also an object. An empty body is an empty object. Every
// argument is required that is not Optional. All mistakes are joined.
func DecodeJSON(body []byte, d Declarer) error {
	n := &Node{kind: KindMap}
	if len(bytes.TrimSpace(body)) > 0 {
		var err error
		if n, err = readJSON(body); err != nil {
			return err
		}
	}
	if n.kind != KindMap {
		return fmt.Errorf("expected a JSON object with the arguments, not %s", n.kind)
	}
	mistakes, _ := decodeAll(n, argument, n.rest(), d)
	return errors.Join(mistakes...)
}

// readJSON parses one JSON value.
func readJSON(body []byte) (*Node, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("the request is too large: more than %d bytes", maxBody)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	n, err := jsonValue(dec, 0)
	if err != nil {
		return nil, jsonMistake(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("invalid JSON: something follows the first value")
	}
	return n, nil
}

func jsonMistake(err error) error {
	var m *Mistake
	if errors.As(err, &m) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("invalid JSON: it ends too early")
	}
	return fmt.Errorf("invalid JSON: %w", err)
}

func jsonValue(dec *json.Decoder, depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return jsonObject(dec, depth)
		}
		return jsonArray(dec, depth)
	case string:
		return &Node{kind: KindScalar, text: t, quoted: true}, nil
	case json.Number:
		return word(t.String()), nil
	case bool:
		return word(fmt.Sprint(t)), nil
	}
	return &Node{kind: KindNull}, nil
}

func jsonObject(dec *json.Decoder, depth int) (*Node, error) {
	n := &Node{kind: KindMap}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("expected a name, not %v", t)
		}
		v, err := jsonValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, &Mistake{Path: name, Text: "given twice"}
		}
		seen[name] = true
		n.put(word(name), v)
	}
	_, err := dec.Token()
	return n, err
}

func jsonArray(dec *json.Decoder, depth int) (*Node, error) {
	n := &Node{kind: KindList}
	for dec.More() {
		v, err := jsonValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		n.add(v)
	}
	_, err := dec.Token()
	return n, err
}
