package run

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func namesOf(removed []Removed) (names []string) {
	for _, r := range removed {
		names = append(names, r.Name)
	}
	return names
}

// TestPruneKeepsTheBestAndTheLast: and files that are no checkpoints, or have not their names.
func TestPruneKeepsTheBestAndTheLast(t *testing.T) {
	r := newTestRun(t)
	for step := int64(1); step <= 3; step++ {
		mustSave(t, r, step)
	}
	if err := r.SaveBest(stateOfStep(2)); err != nil {
		t.Fatal(err)
	}
	others := []string{"checkpoint-1.safetensors", "checkpoint-00000001.safetensors.bak", "notes.txt"}
	for _, name := range others {
		mustWriteFile(t, r.File(name), "mine")
	}
	want := []string{"checkpoint-00000002.safetensors", "checkpoint-00000001.safetensors"}
	would, err := r.Prune(true)
	if err != nil || !slices.Equal(namesOf(would), want) {
		t.Fatalf("would remove %v, %v, want %v", would, err, want)
	}
	if names, _ := r.Checkpoints(); len(names) != 3 {
		t.Fatalf("a dry run left %v", names)
	}
	size := int64(len(mustReadFile(t, r.File(want[0]))))
	removed, err := r.Prune(false)
	if err != nil || !slices.Equal(removed, would) || removed[0].Bytes != size {
		t.Errorf("removed %v, %v, want %v with %d bytes", removed, err, would, size)
	}
	if s, _, warnings := r.Latest(); s == nil || s.Step != 3 || len(warnings) > 0 {
		t.Errorf("the last is %v, %v, want that of step 3", s, warnings)
	}
	if s, _, err := r.Best(); err != nil || s.Step != 2 {
		t.Errorf("the best is %v, %v, want that of step 2", s, err)
	}
	for _, name := range others {
		if mustReadFile(t, r.File(name)) != "mine" {
			t.Errorf("%s was touched", name)
		}
	}
}

// TestPruneKeepsWhatIsNewerThanTheLastThatCanBeRead, and everything where none can be.
func TestPruneKeepsWhatIsNewerThanTheLastThatCanBeRead(t *testing.T) {
	r := newTestRun(t)
	for step := int64(1); step <= 3; step++ {
		mustSave(t, r, step)
	}
	damage(t, r.File("checkpoint-00000003.safetensors"))
	removed, err := r.Prune(false)
	if err != nil || !slices.Equal(namesOf(removed), []string{"checkpoint-00000001.safetensors"}) {
		t.Errorf("removed %v, %v, want step 1 alone", removed, err)
	}
	damage(t, r.File("checkpoint-00000002.safetensors"))
	if removed, err := r.Prune(false); err == nil || removed != nil {
		t.Errorf("removed %v, %v of a run that cannot be read, want an error", removed, err)
	}
}

// TestPruneCountsAFileOfTwoNamesOnce: a large best state and its checkpoint are one file.
func TestPruneCountsAFileOfTwoNamesOnce(t *testing.T) {
	r := newTestRun(t)
	r.Large, r.Keep = 1, 3
	if err := r.SaveAsBest(stateOfStep(1)); err != nil {
		t.Fatal(err)
	}
	best, err := os.Stat(r.File(BestFile))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(r.File("checkpoint-00000001.safetensors")); err != nil || !os.SameFile(info, best) {
		t.Skip("the file system knows of no second names")
	}
	r.Large = LargeCheckpoint
	mustSave(t, r, 2)
	removed, err := r.Prune(false)
	if err != nil || len(removed) != 1 || removed[0].Bytes != 0 {
		t.Errorf("removed %v, %v, want one that frees nothing", removed, err)
	}
}

// TestDiscardLeavesNothingOfARunThatSavedNothing, and everything of another.
func TestDiscardLeavesNothingOfARunThatSavedNothing(t *testing.T) {
	r := newTestRun(t)
	mustSave(t, r, 1)
	if gone, err := r.Discard(); gone || err != nil {
		t.Errorf("a run with a checkpoint was discarded: %v, %v", gone, err)
	}
	other := newTestRun(t)
	mustWriteFile(t, other.File("notes.txt"), "mine")
	if gone, err := other.Discard(); gone || err != nil {
		t.Errorf("a run with a file of the user's was discarded: %v, %v", gone, err)
	}
	if _, err := os.Stat(other.File(ConfigFile)); err != nil {
		t.Error(err)
	}
	empty := newTestRun(t)
	if gone, err := empty.Discard(); !gone || err != nil {
		t.Fatalf("discard: %v, %v", gone, err)
	}
	if entries, err := os.ReadDir(empty.Path); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
	again, err := Create(filepath.Clean(empty.Path), []byte("{}"), nil)
	if err != nil {
		t.Fatalf("the name is not free: %v", err)
	}
	again.Close()
}
