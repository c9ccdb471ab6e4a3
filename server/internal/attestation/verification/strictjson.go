package verification

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth is more than any document of this package nests.
const maxDepth = 8

// strictObject reads one JSON object and nothing after it. A member that stands twice is refused, at any depth: two readers would take one each.
func strictObject(document []byte) (map[string]any, error) {
	if !utf8.Valid(document) {
		return nil, errors.New("it is not UTF-8")
	}
	if !json.Valid(document) {
		return nil, errors.New("it is not one JSON document")
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	value, err := strictValue(decoder, 0)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("it is no JSON object")
	}
	return object, nil
}

func strictValue(decoder *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("it nests too deep")
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return strictMembers(decoder, depth)
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			item, err := strictValue(decoder, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := decoder.Token()
		return list, err
	}
	return token, nil
}

func strictMembers(decoder *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		key, _ := name.(string) // in a valid document it is one
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("the field %.40q stands twice", key)
		}
		if object[key], err = strictValue(decoder, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return object, err
}
