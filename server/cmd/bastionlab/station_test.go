package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

const markedName = "MARKER-4711"

// metricsAddress is where a node said that it tells its metrics.
func metricsAddress(t *testing.T, n *node) string {
	t.Helper()
	found := regexp.MustCompile(`"metrics":"([^"]+)"`).FindStringSubmatch(n.log.String())
	if found == nil {
		t.Fatalf("the log does not say where the metrics are:\n%s", n.log)
	}
	return "http://" + found[1]
}

func fetchPage(t *testing.T, url string) (status int, content string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(read)
}

var labelPattern = regexp.MustCompile(`[{,]([a-z_]+)="((?:[^"\\]|\\.)*)"`)

// played is the page of metrics after the walk-through with a marked name, and what must not be in it.
func played(t *testing.T, datasets bool) (page, dataset string, secret []string) {
	s := testSettings(t.TempDir())
	s.metricsListen, s.metricsDatasets = "127.0.0.1:0", datasets
	n := serveWith(t, s, &fakeTrainers{})
	owner, scientist := n.connect(), n.connect()
	uploaded := owner.upload(markedName, 6)
	m := scientist.uploadModel(uploaded.GetId())
	run := scientist.start(request(m, uploaded.GetId(), 2))
	scientist.wait(run.GetId())
	status, page := fetchPage(t, metricsAddress(t, n)+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d\n%s", status, page)
	}
	if status, _ := fetchPage(t, metricsAddress(t, n)+"/readyz"); status != http.StatusOK {
		t.Errorf("it is not ready: %d", status)
	}
	return page, uploaded.GetId(), []string{markedName, owner.user, scientist.user, run.GetId(), m, n.address}
}

// PRIVACY: every label is a word of this program's, and whoever reads the page learns of nobody and of no dataset.
func TestMetricsNameNobody(t *testing.T) {
	page, dataset, secret := played(t, false)
	for _, text := range append(secret, dataset) {
		if strings.Contains(page, text) {
			t.Errorf("%q is in the metrics", text)
		}
	}
	w := words()
	fixed := append(slices.Concat(w.Actions, w.Outcomes, w.Limits, w.Tasks, w.Reasons),
		"other", "arriving", "stranger", "known", "streaming", "resting", "queued", "running", "waiting", "completed", "failed", "cancelled", "open", "frozen")
	found := labelPattern.FindAllStringSubmatch(page, -1)
	if len(found) < 100 {
		t.Errorf("only %d labels are looked at", len(found))
	}
	for _, label := range found {
		if name, value := label[1], label[2]; name != "le" && name != "version" && name != "quantile" && !slices.Contains(fixed, value) {
			t.Errorf("the label %s=%q is of no fixed set", name, value)
		}
	}
	for _, line := range []string{
		`bastionlab_runs_ended_total{status="completed"} 1`, "bastionlab_datasets 1", "bastionlab_ready 1", "bastionlab_ledger_writable 1", `bastionlab_accounts{state="open"} 1`,
		`bastionlab_calls_total{method="DatasetService.UploadDataset",outcome="ok"} 1`, `bastionlab_calls_total{method="SessionService.SignIn",outcome="ok"} 2`,
	} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("%q is not in the metrics:\n%s", line, page)
		}
	}
}

func TestBudgetsAreToldWhereThatIsAskedFor(t *testing.T) {
	page, dataset, secret := played(t, true)
	for _, text := range secret {
		if strings.Contains(page, text) {
			t.Errorf("%q is in the metrics", text)
		}
	}
	for _, line := range []string{`bastionlab_dataset_spent_epsilon{dataset="` + dataset + `"} 2`, `bastionlab_dataset_limit_epsilon{dataset="` + dataset + `"} 6`} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("%q is not in the metrics", line)
		}
	}
}

// What dashboard and rules ask for is there: every metric that they name stands on the page, once everything has happened.
func TestDashboardAndRulesAskForWhatIsThere(t *testing.T) {
	page, _, _ := played(t, true)
	told := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE ([a-z_]+) ([a-z]+)$`).FindAllStringSubmatch(page, -1) {
		told[found[1]] = true
		if found[2] == "histogram" {
			told[found[1]+"_bucket"] = true
		}
	}
	asked := map[string]bool{}
	for _, expression := range expressions(t) {
		names := regexp.MustCompile(`bastionlab_[a-z_]+`).FindAllString(expression, -1)
		if len(names) == 0 && !strings.HasPrefix(expression, "up{") {
			t.Errorf("%q asks for nothing of ours", expression)
		}
		for _, name := range names {
			asked[name] = true
			if !told[name] {
				t.Errorf("%q asks for %s, which is not told", expression, name)
			}
		}
	}
	if len(asked) < 15 {
		t.Errorf("only %d metrics are asked for", len(asked))
	}
}

// expressions are all that Grafana and Prometheus are to evaluate.
func expressions(t *testing.T) (found []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	content, err := os.ReadFile("../../deploy/grafana.json")
	if err == nil {
		err = json.Unmarshal(content, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found = append(found, target.Expr)
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	content, err = os.ReadFile("../../deploy/alerts.yaml")
	if err == nil {
		err = yaml.Unmarshal(content, &rules)
	}
	if err != nil {
		t.Fatal(err)
	}
	monitoring, err := os.ReadFile("../../../docs/operations/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			found = append(found, rule.Expr)
			if !strings.Contains(string(monitoring), rule.Alert) {
				t.Errorf("docs/operations/monitoring.md does not say what to do about %s", rule.Alert)
			}
		}
	}
	return found
}

// While it stops, a server says so where a balancer asks.
func TestReadinessEndsWithTheServer(t *testing.T) {
	s := testSettings(t.TempDir())
	s.metricsListen = "127.0.0.1:0"
	f := &fakeTrainers{}
	n := serveWith(t, s, f)
	at := metricsAddress(t, n)
	// The run under way keeps the stop from being over before anybody has asked.
	owner := n.connect()
	uploaded := owner.upload("d", 6)
	held, _ := f.hold()
	scientist := n.connect()
	scientist.start(request(scientist.uploadModel(uploaded.GetId()), uploaded.GetId(), 1))
	<-held
	stopped := make(chan error, 1)
	go func() { stopped <- n.stop() }()
	seen := false
	for ended := false; !ended; {
		select {
		case err := <-stopped:
			if err != nil {
				t.Fatal(err)
			}
			ended = true
		default:
			client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			if answer, err := client.Get(at + "/readyz"); err == nil {
				seen = seen || answer.StatusCode == http.StatusServiceUnavailable
				answer.Body.Close()
			}
		}
	}
	if !seen {
		t.Error("while it stopped it called itself ready, or did not answer")
	}
}

func TestAServerThatCannotWriteIsNotReady(t *testing.T) {
	for _, test := range []struct {
		takesCalls, ledgerBroken, auditBroken bool
		says                                  string
	}{
		{true, false, false, ""}, {false, false, false, "takes no calls"}, {true, true, false, "budget ledger"}, {true, false, true, "audit log"},
	} {
		err := readiness(test.takesCalls, test.ledgerBroken, test.auditBroken)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v is told as %v", test, err)
		}
	}
}

func TestTracesInTheClear(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"http://127.0.0.1:4318/v1/traces": false, "http://[::1]:4318": false, "http://localhost": false, "https://collector.example": false,
		"http://collector.example:4318": true, "http://10.0.0.1": true,
	} {
		if got := inTheClear(endpoint); got != want {
			t.Errorf("%s: %t", endpoint, got)
		}
	}
}

// A port that is taken ends the start, with the setting's name.
func TestATakenMetricsPortEndsTheStart(t *testing.T) {
	s := testSettings(t.TempDir())
	s.metricsListen = "127.0.0.1:0"
	n := serveWith(t, s, &fakeTrainers{})
	other := testSettings(t.TempDir())
	other.metricsListen = strings.TrimPrefix(metricsAddress(t, n), "http://")
	err := serve(t.Context(), other, io.Discard, (&fakeTrainers{}).start)
	if refusal.KindOf(err) != refusal.Unavailable || !strings.Contains(err.Error(), "--metrics-listen") {
		t.Errorf("it ends with %v", err)
	}
}
