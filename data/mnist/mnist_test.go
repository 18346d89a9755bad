package mnist

import (
	"bytes"
	"testing"
)

func TestEveryFileHasTheRecordedSum(t *testing.T) {
	for _, name := range Names() {
		content, err := File(name)
		if err != nil {
			t.Errorf("File(%q): %v", name, err)
			continue
		}
		if !bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
			t.Errorf("File(%q) starts with % x, want the gzip magic 1f 8b", name, content[:2])
		}
	}
}

func TestFileBelongsToTheCaller(t *testing.T) {
	first, err := File(TestLabels)
	if err != nil {
		t.Fatal(err)
	}
	first[0] = 0
	second, err := File(TestLabels)
	if err != nil {
		t.Fatalf("after the caller wrote into the first copy: %v", err)
	}
	if second[0] != 0x1f {
		t.Errorf("second copy starts with %#x, want 0x1f", second[0])
	}
}

func TestDamagedFileIsRefused(t *testing.T) {
	err := check(TestLabels, []byte("abc"), SHA256(TestLabels))
	// The SHA-256 of "abc" is the first example of FIPS 180-2.
	want := "mnist: t10k-labels-idx1-ubyte.gz: SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, want b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b: the file was changed before this program was built; build it again from a clean copy"
	if err == nil || err.Error() != want {
		t.Errorf("found error %v\nwant %s", err, want)
	}
}

func TestUnknownNameIsRefused(t *testing.T) {
	_, err := File("valid-images")
	want := `mnist: no file "valid-images", have train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz`
	if err == nil || err.Error() != want {
		t.Errorf("found error %v\nwant %s", err, want)
	}
}
