package telemetry

// other stands for a word that is in no set: a label must not become whatever somebody makes of it.
const other = "other"

type set map[string]bool

type words struct{ actions, outcomes, limits, tasks, reasons, untimed set }

func wordsOf(w Words) words {
	return words{setOf(w.Actions), setOf(w.Outcomes), setOf(w.Limits), setOf(w.Tasks), setOf(w.Reasons), setOf(w.Untimed)}
}

func setOf(list []string) set {
	s := set{}
	for _, word := range list {
		s[word] = true
	}
	return s
}

// PRIVACY: how long an upload takes follows the number of its records.
func (w words) timed(action string) bool { return !w.untimed[action] }

func known(s set, word string) string {
	if s[word] {
		return word
	}
	return other
}
