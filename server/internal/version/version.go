// Package version holds the release's number: the one place it is written in Go. tools/set-version.sh changes it here and in the Python
// package, and a test of the whole repository compares the two.
//
// Non-goals: it is no build stamp. What code runs is told by a measurement, never by a string that the code says about itself.
package version

import (
	"regexp"
	"strconv"
)

// Number is the version of server, trainer and protocol, as semantic versioning has it. Its major is the protocol's number.
const Number = "1.0.0"

var three = regexp.MustCompile(`^(\d{1,6})\.(\d{1,6})\.\d{1,6}`)

// Far tells whether a peer of the other version is further away than is tested: another major, or more than one minor version. A text
// that is no version says nothing, and is not far.
func Far(other string) bool { return far(Number, other) }

func far(ours, other string) bool {
	our, their := three.FindStringSubmatch(ours), three.FindStringSubmatch(other)
	if our == nil || their == nil {
		return false
	}
	ourMinor, _ := strconv.Atoi(our[2]) // digits, by the expression
	theirMinor, _ := strconv.Atoi(their[2])
	return our[1] != their[1] || max(ourMinor-theirMinor, theirMinor-ourMinor) > 1
}
