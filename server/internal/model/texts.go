package model

import (
	"strings"
	"unicode"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const (
	maxNameBytes        = 256
	maxDescriptionBytes = 16 << 10
)

// CheckTexts judges the name and the description that somebody gives to a thing; others will read them, on terminals too.
func CheckTexts(thing, name, description string) error {
	if len(name) > maxNameBytes || !printable(name, "") {
		return refusal.New(refusal.InvalidArgument, "give another name", "the %s's name is longer than %d bytes, or has characters that cannot be printed", thing, maxNameBytes)
	}
	if len(description) > maxDescriptionBytes || !printable(description, "\n\t") {
		return refusal.New(refusal.InvalidArgument, "give another description", "the %s's description is longer than %d bytes, or has characters that cannot be printed", thing, maxDescriptionBytes)
	}
	return nil
}

func printable(text, also string) bool {
	for _, r := range text {
		if !unicode.IsPrint(r) && !strings.ContainsRune(also, r) {
			return false
		}
	}
	return true
}
