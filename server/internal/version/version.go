// Package version holds the release's number: the one place it is written in Go. A test of the whole repository compares the
// Python package with it.
//
// Non-goals: it is no build stamp. What code runs is told by a measurement, never by a string that the code says about itself.
package version

// Number is the version of server, trainer and protocol, as semantic versioning has it.
const Number = "1.0.0"
