package verification

import "slices"

// Allowed is the list of values that a policy accepts. Its zero value accepts none.
type Allowed struct {
	any    bool
	values []string
}

// Any accepts every value: only a policy that says null gets it.
func Any() Allowed { return Allowed{any: true} }

// Only accepts these.
func Only(values ...string) Allowed { return Allowed{values: values} }

// IsAny says whether nothing is pinned.
func (a Allowed) IsAny() bool { return a.any }

// Values are those accepted, if not any is.
func (a Allowed) Values() []string { return slices.Clone(a.values) }

// Has says whether a value is accepted.
func (a Allowed) Has(value string) bool { return a.any || slices.Contains(a.values, value) }

func (a Allowed) expected() string {
	switch len(a.values) {
	case 0:
		return "nothing: the policy lists none"
	case 1:
		return a.values[0]
	}
	return "one of " + list(a.values)
}
