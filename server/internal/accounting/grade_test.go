package accounting

import (
	"strconv"
	"testing"
)

func TestGradesAreDecimalsOfFiveDigits(t *testing.T) {
	for grade, want := range map[int64]float64{0: 1, 1: 1.0001, 89999: 9.9999, 90000: 10, 90001: 10.001, -1: 0.99999, -90000: 0.1, lowestGrade: 0.001, highestGrade: 1e15} {
		if got := noiseOf(grade); got != want {
			t.Errorf("grade %d is %v, want %v", grade, got, want)
		}
		if back := gradeOf(want); back < grade-1 || back > grade+1 {
			t.Errorf("%v has grade %d, want %d", want, back, grade)
		}
	}
	last := 0.0
	for grade := int64(-200000); grade < 400000; grade += 7 {
		v := noiseOf(grade)
		if v <= last {
			t.Fatalf("grade %d is %v, not above %v", grade, v, last)
		}
		if text := strconv.FormatFloat(v, 'e', -1, 64); len(text) > len("1.2345e+00") {
			t.Fatalf("grade %d is %s, more than five digits", grade, text)
		}
		last = v
	}
}
