package lineage

import (
	"slices"
	"strconv"
)

// owner uploads datasets and keeps accounts as the rule says, the least that there can be of a ledger.
type owner struct {
	accounts []*account
	opened   int
}

type account struct {
	name     string
	uploads  []Set
	partners []string
	into     *account // where it was joined to another
}

func (a *account) rows(without int) (all Set) {
	for i, upload := range a.uploads {
		if i != without {
			all = Union(all, upload)
		}
	}
	return all
}

// upload takes one set; training is the account of its training set, which is the last upload on it.
func (o *owner) upload(set Set, training *account) (*account, Decision) {
	upload := Upload{Rows: set.Len()}
	var known []Known
	for _, a := range o.accounts {
		own := -1
		if a == training {
			own = len(a.uploads) - 1
			upload.PairedWith, upload.WithTraining = a.name, Common(set, a.uploads[own])
		}
		rows := a.rows(own)
		known = append(known, Known{Account: a.name, Partners: a.partners, Rows: rows.Len(), Shared: Common(set, rows)})
	}
	decision := Decide(upload, known)
	a := o.join(decision.Joins)
	a.uploads = append(a.uploads, set)
	if training = training.now(); training != nil && training != a {
		a.partners, training.partners = append(a.partners, training.name), append(training.partners, a.name)
	}
	return a, decision
}

// now is the account that this one has become part of.
func (a *account) now() *account {
	for a != nil && a.into != nil {
		a = a.into
	}
	return a
}

// join makes one account of all that are named, or a new one of none.
func (o *owner) join(names []string) *account {
	var into *account
	o.accounts = slices.DeleteFunc(o.accounts, func(a *account) bool {
		if !slices.Contains(names, a.name) {
			return false
		}
		if into == nil {
			into = a
			return false
		}
		into.uploads = append(into.uploads, a.uploads...)
		into.partners = append(into.partners, a.partners...)
		a.into = into
		return true
	})
	if into == nil {
		o.opened++
		into = &account{name: strconv.Itoa(o.opened)}
		o.accounts = append(o.accounts, into)
	}
	for _, a := range o.accounts {
		for i, partner := range a.partners {
			if slices.Contains(names, partner) {
				a.partners[i] = into.name
			}
		}
	}
	return into
}

// call uploads a training set and its test set, or a training set alone, and names their accounts.
func (o *owner) call(train, test []Digest) (accounts string, apart []Apart) {
	training, decision := o.upload(NewSet(slices.Clone(train)), nil)
	if test == nil {
		return training.name, decision.Apart
	}
	testing, second := o.upload(NewSet(slices.Clone(test)), training)
	return training.now().name + " " + testing.name, append(decision.Apart, second.Apart...)
}
