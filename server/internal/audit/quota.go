package audit

import (
	"fmt"
	"slices"
	"time"
)

// How many entries that change nothing are written in one window. A line has less than half a KiB, so that strangers write at most 2 MiB a day
// and everybody together at most 1 GiB a day.
const (
	window          = 10 * time.Minute
	strangersQuota  = 30
	userQuota       = 2000
	allQuota        = 12000
	maxCountedUsers = 1000
)

// quota bounds what those can write who have nothing to lose by it: whoever has not signed in, and users that only look.
type quota struct {
	ends  time.Time
	all   int
	users map[string]*count // strangers under ""
}

type count struct{ written, omitted int }

func newQuota(now time.Time) quota { return quota{ends: now.Add(window), users: map[string]*count{}} }

// take says whether an entry may be written.
func (q *quota) take(user string) bool {
	of, most := q.of(user), userQuota
	if user == "" {
		most = strangersQuota
	}
	// SECURITY: strangers do not take what users have.
	if of.written >= most || user != "" && q.all >= allQuota {
		return false
	}
	of.written++
	if user != "" {
		q.all++
	}
	return true
}

func (q *quota) omit(user string) { q.of(user).omitted++ }

// of is a user's count. Beyond so many users all others are counted together with the strangers.
func (q *quota) of(user string) *count {
	of := q.users[user]
	if of == nil {
		if len(q.users) >= maxCountedUsers && user != "" {
			return q.of("")
		}
		of = &count{}
		q.users[user] = of
	}
	return of
}

// roll begins a new window where this one has ended, or at the last, and returns what was left out in it.
func (q *quota) roll(now time.Time, last bool) []Entry {
	if now.Before(q.ends) && !last {
		return nil
	}
	var summaries []Entry
	for user, of := range q.users {
		if of.omitted > 0 {
			summaries = append(summaries, Entry{User: user, Action: Summary, Reason: fmt.Sprintf("%d more", of.omitted)})
		}
	}
	slices.SortFunc(summaries, func(a, b Entry) int { return compare(a.User, b.User) })
	*q = newQuota(now)
	return summaries
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// changesOfUser is how many changes one user may begin in a window, refused ones too: each is written and synced. It is far more than a person makes.
const changesOfUser = 3000

// changeQuota bounds what a user can write by changing things, or by trying to. Who runs the machine has no bound.
// SECURITY: a change that goes beyond is refused before it is done, so that none is ever left out of the log. It holds a number for each user there can be.
type changeQuota struct {
	ends  time.Time
	begun map[string]int
}

func (q *changeQuota) take(user string, now time.Time) bool {
	if q.begun == nil || !now.Before(q.ends) {
		q.ends, q.begun = now.Add(window), map[string]int{}
	}
	if q.begun[user] >= changesOfUser {
		return false
	}
	q.begun[user]++
	return true
}
