package lineage

import (
	"cmp"
	"slices"
)

// Upload is a dataset on its way in, as far as Decide needs it.
type Upload struct {
	Rows int // distinct
	// PairedWith is the account of the training set that this is the test set of, or empty.
	PairedWith string
	// WithTraining are the rows that the two sets of this upload share.
	WithTraining Set
}

// Known is one account of the upload's owner, as it was before this upload, its training set included: the account that the training set
// opened a moment ago has no rows.
type Known struct {
	Account string
	// Partners are the accounts of the other sets of the uploads on it: of the test set, of the training set.
	Partners []string
	Rows     int // distinct
	Shared   Set // the rows of the upload that are on the account
}

// Decision is what becomes of an upload.
type Decision struct {
	// Joins are the accounts that the upload draws on, which become one, in the order in which they were given. If its training set's is
	// among them, both sets are on one account, and the owner is to be told so.
	Joins []string
	// Apart are the accounts that share rows with the upload and stay for themselves, for the owner to be told.
	Apart []Apart
}

// Apart is an account that shares rows with an upload and is not joined.
type Apart struct {
	Account string
	Shared  int // all rows that both have; for the account of the upload's training set, those of that set too
}

// Decide says which of an owner's accounts an upload joins: every one with which it shares a tenth of its own rows or of the account's.
// Two kinds of rows are not counted, because the two sets of one upload are two accounts whatever they share:
//
//   - For a test set against its training set's account: rows that are in that training set. They are what the two sets of this upload
//     share, on whatever account the training set is. What stays counted is what the account has from before and the training set has
//     not: rows that moved from training to test by a new split. They were charged there, so that both sets end on one account: the
//     one exception, and the safe side.
//   - Against an account with a partner that the upload joins: rows that the partner has too. A pair whose sets overlap, uploaded
//     again, must find its two accounts and not make them one.
//
// PRIVACY: the second is no way around an account. A row that is not counted against an account is on its partner as well, and was
// before this upload; the upload joins the partner, so whatever is charged for the row from now on is charged to one of the accounts that
// it was on. No row gets one account more than it had.
//
// For that the partner must really be joined, and two partners must not each be left out for the other's sake: a training set that is its
// own test set would join neither. So accounts are judged one after the other, nearest first, and only those joined before count as
// partners. The nearest is judged by all that it shares.
func Decide(upload Upload, known []Known) Decision {
	joined := make([]bool, len(known))
	for _, i := range nearestFirst(upload, known) {
		except := upload.exceptions(known[i])
		for j, other := range known {
			if joined[j] && partners(other, known[i]) {
				except = append(except, other.Shared)
			}
		}
		joined[i] = enough(known[i].Shared.outside(except...), upload.Rows, known[i].Rows)
	}
	var decision Decision
	for i, k := range known {
		if joined[i] {
			decision.Joins = append(decision.Joins, k.Account)
		} else if shared := upload.told(k); shared > 0 {
			decision.Apart = append(decision.Apart, Apart{k.Account, shared})
		}
	}
	return decision
}

// enough is the rule of a tenth, in integers.
func enough(shared, upload, account int) bool {
	return shared > 0 && (10*shared >= upload || 10*shared >= account)
}

// nearestFirst orders the accounts by how much they share with the upload, and those that share as much by how little else they have: a
// test set all of whose rows are in the training set too is nearer to its own account than to the training set's.
func nearestFirst(upload Upload, known []Known) []int {
	order, shared := make([]int, len(known)), make([]int, len(known))
	for i, k := range known {
		order[i], shared[i] = i, k.Shared.outside(upload.exceptions(k)...)
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(shared[j], shared[i]), cmp.Compare(known[i].Rows, known[j].Rows))
	})
	return order
}

// exceptions are the rows that this upload's own training set takes out of the comparison.
func (u Upload) exceptions(k Known) []Set {
	if k.Account != u.PairedWith {
		return nil
	}
	return []Set{u.WithTraining}
}

// told is how many rows the upload shares with the account, whether they count or not.
func (u Upload) told(k Known) int {
	if k.Account != u.PairedWith {
		return k.Shared.Len()
	}
	return k.Shared.outside(u.WithTraining) + u.WithTraining.Len()
}

func partners(a, b Known) bool {
	return slices.Contains(a.Partners, b.Account) || slices.Contains(b.Partners, a.Account)
}
