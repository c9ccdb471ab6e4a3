package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// head is the hash of a line: what the next one holds of it.
type head [sha256.Size]byte

// beginning is what the first line holds.
func beginning() head { return sha256.Sum256([]byte("bastionlab audit 1\n")) }

// maxLineBytes is more than any line takes.
const maxLineBytes = 1024

// Operator is the user on the machine's own socket.
const Operator = "operator"

// Summary is the action of an entry that stands for others, which were too many to be written. Its reason says how many.
const Summary = "summary"

const malformed = "malformed"

// form says whether a text may stand in a field. None lets anything through that JSON would have to escape.
type form func(text string) bool

func userForm(text string) bool {
	return text == "" || hexDigits(text, 64) || text == Operator || text == malformed
}

func idForm(text string) bool { return text == "" || hexDigits(text, 32) || text == malformed }

func bindingForm(text string) bool {
	return text == "" || text == "exporter" || text == "key" || text == "socket" || text == malformed
}

func actionForm(text string) bool {
	return text != "" && within(text, 96, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '.' })
}

func reasonForm(text string) bool {
	return within(text, 64, func(c byte) bool { return c >= 'a' && c <= 'z' || isDigit(c) || c == '_' || c == ' ' })
}

func hexDigits(text string, count int) bool {
	return len(text) == count && within(text, count, func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' })
}

func within(text string, most int, is func(byte) bool) bool {
	if len(text) > most {
		return false
	}
	for i := range len(text) {
		if !is(text[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// field is a text of an entry, with its name in the line and its form.
type field struct {
	name  string
	value *string
	form  form
}

// texts are the text fields of an entry, in the order of the line.
func (e *Entry) texts() [8]field {
	return [...]field{
		{"user", &e.User, userForm}, {"action", &e.Action, actionForm}, {"dataset_id", &e.Dataset, idForm}, {"run_id", &e.Run, idForm},
		{"reason", &e.Reason, reasonForm}, {"binding", &e.Binding, bindingForm}, {"boot_id", &e.Boot, idForm}, {"subject", &e.Subject, userForm},
	}
}

// tidy leaves nothing in an entry that has not the form of its field.
// PRIVACY: identifiers in requests are whatever a caller wrote there; without this the log would keep it.
func tidy(e Entry) Entry {
	for _, text := range e.texts() {
		if !text.form(*text.value) {
			*text.value = malformed
		}
	}
	return e
}

// encode writes a line, with its end, and returns its hash.
func (l Line) encode(into []byte, prev head) ([]byte, head) {
	from := len(into)
	into = fmt.Appendf(into, `{"seq":%d,"unix_ms":%d,"user":"%s","action":"%s","dataset_id":"%s","run_id":"%s","allowed":%t,"reason":"%s","binding":"%s","boot_id":"%s","subject":"%s","prev":"%x"}`+"\n",
		l.Seq, l.UnixMS, l.User, l.Action, l.Dataset, l.Run, l.Allowed, l.Reason, l.Binding, l.Boot, l.Subject, prev[:])
	return into, sha256.Sum256(into[from:])
}

// decode reads a line, with its end, as encode writes it and in no other way.
func decode(encoded []byte) (l Line, prev head, err error) {
	c := &cursor{rest: encoded}
	l.Seq = c.literal(`{"seq":`).number()
	l.UnixMS = c.literal(`,"unix_ms":`).number()
	for _, text := range l.texts() {
		if text.name == "reason" {
			l.Allowed = c.literal(`,"allowed":`).truth()
		}
		*text.value = c.literal(`,"`).literal(text.name).literal(`":"`).text(text.form)
		c.literal(`"`)
	}
	c.literal(`,"prev":"`).hash(&prev)
	c.literal("\"}\n")
	if c.failed == "" && len(c.rest) > 0 {
		c.failed = "its end"
	}
	if c.failed != "" {
		return Line{}, head{}, fmt.Errorf("it is not written as this program writes lines, at %s", c.failed)
	}
	return l, prev, nil
}

// cursor reads a line from left to right; after the first thing that does not fit it reads nothing more.
type cursor struct {
	rest   []byte
	at     string // what was read last
	failed string
}

func (c *cursor) fail() { c.failed, c.rest = strconv.Quote(c.at), nil }

func (c *cursor) take(n int) []byte {
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cursor) literal(want string) *cursor {
	if c.failed != "" {
		return c
	}
	c.at = want
	if len(c.rest) < len(want) || string(c.rest[:len(want)]) != want {
		c.fail()
		return c
	}
	c.take(len(want))
	return c
}

// number reads an integer from 0 to 10^18, written without anything in front.
func (c *cursor) number() (value int64) {
	n := 0
	for n < len(c.rest) && c.rest[n] >= '0' && c.rest[n] <= '9' {
		n++
	}
	if c.failed != "" {
		return 0
	}
	if n == 0 || n > 18 || n > 1 && c.rest[0] == '0' {
		c.fail()
		return 0
	}
	for _, digit := range c.take(n) {
		value = 10*value + int64(digit-'0')
	}
	return value
}

func (c *cursor) truth() bool {
	if len(c.rest) >= 4 && string(c.rest[:4]) == "true" {
		c.take(4)
		return true
	}
	c.literal("false")
	return false
}

func (c *cursor) text(fits form) string {
	n := 0
	for n < len(c.rest) && c.rest[n] != '"' {
		n++
	}
	if c.failed != "" {
		return ""
	}
	text := string(c.rest[:n])
	if !fits(text) {
		c.fail()
		return ""
	}
	c.take(n)
	return text
}

func (c *cursor) hash(into *head) {
	if c.failed != "" {
		return
	}
	digits := 2 * len(into)
	if len(c.rest) < digits {
		c.fail()
		return
	}
	read := c.take(digits)
	// Upper-case digits are another encoding.
	if _, err := hex.Decode(into[:], read); err != nil || hex.EncodeToString(into[:]) != string(read) {
		c.fail()
	}
}

func unixMS(t time.Time) int64 { return max(t.UnixMilli(), 0) }
