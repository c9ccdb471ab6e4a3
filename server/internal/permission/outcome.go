package permission

// Outcome is what comes of a call, as far as permissions go.
type Outcome string

const (
	Allowed     Outcome = "yes"
	Denied      Outcome = "denied"
	Hidden      Outcome = "hidden" // as if there were no such thing
	SignInFirst Outcome = "sign in"
)

// Relation is how a caller stands to a dataset, and to a run on it.
type Relation struct {
	Owner   bool   // of the dataset
	Granted *Grant // what the caller may with it; nil: there is no grant
	Author  bool   // of the run
	Deleted bool   // the dataset was
}

// Of is what a row makes of a caller who has signed in.
func (row Row) Of(roles Roles, r Relation) Outcome {
	if row.Open {
		return Allowed
	}
	if !roles.Has(row.Roles) {
		return Denied
	}
	return row.Needs.of(roles, r)
}

// OnSocket is what a row makes of the machine's operator.
func (row Row) OnSocket(r Relation) Outcome {
	if !row.Socket {
		return Denied
	}
	return row.Needs.of(Operator, r)
}

func (n Need) of(roles Roles, r Relation) Outcome {
	switch n {
	case Nothing:
		return Allowed
	case ToSeeRun, ToSeeReceipts, ToEndRun, ToDecideOnRun, ToTakeHome:
		return n.ofRun(roles, r)
	}
	sees := !r.Deleted && (r.Owner || r.Granted != nil || roles.Has(Operator))
	switch {
	case r.Deleted && r.Owner && (n == ToSeeAccount || n == ToOwnAccount):
		return Allowed
	case !sees:
		return Hidden
	case r.Owner || n == ToSee || n == ToSeeAccount:
		return Allowed
	case n == ToPropose || n == ToTrain:
		return allowedIf(r.Granted != nil && r.Granted.Train)
	case n == ToTest:
		return allowedIf(r.Granted != nil && r.Granted.Test)
	}
	return Denied
}

func (n Need) ofRun(roles Roles, r Relation) Outcome {
	seen := r.Author || r.Owner || roles.Has(Operator) && n != ToSeeReceipts
	switch {
	case !seen:
		return Hidden
	case n == ToSeeRun || n == ToSeeReceipts:
		return Allowed
	case n == ToEndRun:
		return allowedIf(r.Author || roles.Has(Operator))
	case n == ToDecideOnRun:
		return allowedIf(r.Owner)
	}
	switch { // ToTakeHome
	case !r.Author:
		return Denied
	case r.Owner:
		return Allowed
	case r.Deleted:
		return Hidden
	}
	return allowedIf(r.Granted != nil && r.Granted.TakeHome)
}

func allowedIf(permitted bool) Outcome {
	if permitted {
		return Allowed
	}
	return Denied
}
