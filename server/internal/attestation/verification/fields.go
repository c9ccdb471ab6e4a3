package verification

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// fields reads the members of one object of a policy, each of a type. The first that is wrong is what is told; a reader of what is not there, or
// after a failure, gets the default. A nil *fields is an object that was not given.
type fields struct {
	path    string // of this object, with a point at its end
	members map[string]any
	read    []string
	failure *error // the first one of the whole document
}

func (f *fields) check(name string, holds bool, expected string) {
	if holds || f == nil || *f.failure != nil {
		return
	}
	seen := "nothing"
	if value, there := f.members[name]; there {
		seen = fmt.Sprintf("%.80s", inJSON(value))
	}
	*f.failure = refuse("policy", fmt.Sprintf("%s%s: %s", f.path, name, expected), "%s", seen)
}

func inJSON(value any) string {
	encoded, _ := json.Marshal(value)
	return string(encoded)
}

func (f *fields) require(name string) {
	if f != nil {
		_, there := f.members[name]
		f.check(name, there, "to be written")
	}
}

// some refuses a list of nothing.
func (f *fields) some(name string, length int) {
	f.check(name, length > 0, "at least one")
}

func (f *fields) has(name string) bool {
	_, there := f.members[name]
	return there
}

// get gives a member that is there, and marks it as known.
func (f *fields) get(name string) (any, bool) {
	if f == nil {
		return nil, false
	}
	f.read = append(f.read, name)
	value, there := f.members[name]
	return value, there
}

// end refuses what nobody asked for.
func (f *fields) end() {
	if f == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		f.check(name, slices.Contains(f.read, name), "no such field")
	}
}

func (f *fields) object(name string, required bool) *fields {
	value, _ := f.get(name)
	if value == nil {
		f.check(name, !required, "an object, to be written")
		return nil
	}
	members, ok := value.(map[string]any)
	f.check(name, ok, "an object")
	if !ok {
		return nil
	}
	return &fields{path: f.path + name + ".", members: members, failure: f.failure}
}

func (f *fields) texts(name string) []string {
	value, there := f.get(name)
	items, ok := value.([]any)
	f.check(name, ok || !there, "a list of texts")
	texts := []string{}
	for _, item := range items {
		text, ok := item.(string)
		f.check(name, ok && text != "", "a list of texts")
		texts = append(texts, text)
	}
	return texts
}

// names are a list out of those known; otherwise is what is meant where the field is not written, and nil where it must be or is empty.
func (f *fields) names(name string, known, otherwise []string) []string {
	if !f.has(name) && otherwise != nil {
		return otherwise
	}
	given := f.texts(name)
	for _, text := range given {
		f.check(name, slices.Contains(known, text), "of "+list(known))
	}
	return given
}

// name is one of those known, or nothing.
func (f *fields) name(name string, known []string) string {
	text := f.text(name)
	f.check(name, text == "" || slices.Contains(known, text), "one of "+list(known)+", or null")
	return text
}

// text is a text that is not empty, or nothing.
func (f *fields) text(name string) string {
	value, _ := f.get(name)
	text, ok := value.(string)
	f.check(name, value == nil || ok && text != "", "a text, or null")
	return text
}

func (f *fields) boolean(name string) bool {
	value, there := f.get(name)
	truth, ok := value.(bool)
	f.check(name, ok || !there, "true or false")
	return truth
}

func (f *fields) number(name string, highest uint64) uint64 {
	value, there := f.get(name)
	number, ok := integer(value, highest)
	f.check(name, ok || !there, fmt.Sprintf("a whole number from 0 to %d", highest))
	return number
}

func (f *fields) numbers(name string, highest uint64, otherwise []uint32) []uint32 {
	value, there := f.get(name)
	if !there {
		return otherwise
	}
	items, ok := value.([]any)
	f.check(name, ok, "a list of whole numbers")
	numbers := []uint32{}
	for _, item := range items {
		number, ok := integer(item, highest)
		f.check(name, ok, fmt.Sprintf("whole numbers from 0 to %d", highest))
		numbers = append(numbers, uint32(number))
	}
	return numbers
}

func integer(value any, highest uint64) (uint64, bool) {
	text, ok := value.(json.Number)
	number, err := strconv.ParseInt(text.String(), 10, 64)
	// A negative number is larger than every highest one as an unsigned.
	return uint64(number), ok && err == nil && uint64(number) <= highest
}

// allowed is a list of hex digits, or null for any. What must be written is not taken for null where it is missing.
func (f *fields) allowed(name string, digits int, required bool) Allowed {
	value, there := f.get(name)
	f.check(name, there || !required, "to be written: a list, or null for any")
	if value == nil {
		return Allowed{any: there || !required}
	}
	items, ok := value.([]any)
	expected := fmt.Sprintf("a list of %d hex digits in lower case each, or null for any", digits)
	f.check(name, ok, expected)
	only := Allowed{values: []string{}}
	for _, item := range items {
		text, ok := item.(string)
		f.check(name, ok && isHex(text, digits), expected)
		only.values = append(only.values, text)
	}
	return only
}

// register is what one of a TD's registers may hold. One that is not written may hold anything; one that is written may not be null.
func (f *fields) register(name string) Allowed {
	if _, there := f.get(name); !there {
		return Any()
	}
	only := f.allowed(name, 96, true)
	f.some(name, len(only.values)) // null has none
	return only
}

func isHex(text string, digits int) bool {
	return len(text) == digits && strings.Trim(text, "0123456789abcdef") == ""
}

func list(names []string) string {
	return strings.Join(names, ", ")
}
