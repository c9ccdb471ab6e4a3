package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The unit starts what there is with settings that there are, and gives a stop the time that it takes.
func TestTheUnitFitsTheServer(t *testing.T) {
	content, err := os.ReadFile("../../deploy/bastionlab.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string][]string{}
	for _, line := range strings.Split(string(content), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			unit[name] = append(unit[name], value)
		}
	}
	one := func(name string) string {
		if len(unit[name]) != 1 {
			t.Fatalf("%s is given %d times", name, len(unit[name]))
		}
		return unit[name][0]
	}
	command := strings.Fields(one("ExecStart"))
	if command[0] != "/usr/bin/bastionlab" || command[1] != "serve" {
		t.Errorf("it starts %v", command)
	}
	flags := table()
	for _, word := range command[2:] {
		if name, ok := strings.CutPrefix(word, "--"); ok && flags.Lookup(name) == nil {
			t.Errorf("there is no setting %s", name)
		}
	}
	seconds, err := strconv.Atoi(one("TimeoutStopSec"))
	if err != nil || time.Duration(seconds)*time.Second < defaultDrainTime+10*time.Second {
		t.Errorf("a stop may take %d s, %v", seconds, err)
	}
	if one("User") != "bastionlab" || one("StateDirectory") != "bastionlab" || one("Type") != "notify" || one("NoNewPrivileges") != "yes" || one("ProtectSystem") != "strict" {
		t.Errorf("the unit is %v", unit)
	}
	// What is wrong stays wrong: exit status 2 (see exitStatuses).
	if one("RestartPreventExitStatus") != "2" || one("KillMode") != "mixed" {
		t.Errorf("the unit is %v", unit)
	}
	for _, namespace := range []string{"user", "net", "pid", "ipc", "uts", "mnt"} {
		if !regexp.MustCompile(`\b` + namespace + `\b`).MatchString(one("RestrictNamespaces")) {
			t.Errorf("trainers get no namespace %s of their own", namespace)
		}
	}
	if len(unit["MemoryDenyWriteExecute"]) > 0 || len(unit["PrivateDevices"]) > 0 {
		t.Error("trainers do not run under MemoryDenyWriteExecute, nor is evidence given under PrivateDevices")
	}
}
